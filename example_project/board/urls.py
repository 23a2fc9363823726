"""The board's addresses."""

from django.urls import path

from board import api, views

urlpatterns = [
    path("", views.page, name="page"),
    path("posts", views.add_post, name="add_post"),
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("store", views.set_store, name="set_store"),
    path("lag", views.set_lag, name="set_lag"),
    path("break", views.break_replica, name="break_replica"),
    path("mend", views.mend_replica, name="mend_replica"),
    path("status", views.show_status, name="status"),
    path("api/posts", api.posts, name="api_posts"),
]
