from django.urls import include, path

from tests.third_parties import views

urlpatterns = [
    path("accounts/", include("django.contrib.auth.urls")),
    path("posts", views.posts_of_whom),
    path("aposts", views.aposts_of_whom),
    path("post", views.post),
    path("apost", views.apost),
]
