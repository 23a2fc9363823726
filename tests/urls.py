from django.urls import path

from tests import views

urlpatterns = [
    path(name.replace("_", "-"), getattr(views, name))
    for name in (
        "read",
        "post",
        "post_and_fail",
        "get_that_writes",
        "get_that_writes_and_fails",
        "writes_nothing_after_all",
        "marked",
        "search",
        "search_that_writes_after_all",
        "nothing",
        "nested",
        "stream",
        "astream",
        "rendered_later",
        "log_in",
        "log_in_after_a_read",
        "log_out",
        "log_out_elsewhere",
        "log_in_by_get",
        "log_out_by_get",
        "stream_file",
        "api_with_keys",
        "who",
        "remember",
        "databases",
        "in_transaction",
        "in_transaction_by_alias",
        "non_atomic_in_transaction",
        "aread",
        "apost",
        "anothing",
        "awho",
        "routed_on_the_loop",
        "aget_that_writes",
        "hang",
    )
] + [
    path("by-class", views.ByClass.as_view()),
    path("async-by-class", views.AsyncByClass.as_view()),
    path("api", views.Api.as_view()),
]
