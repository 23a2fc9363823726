from django.urls import path

from tests.contrib import views

urlpatterns = [
    path(name.replace("_", "-"), getattr(views, name))
    for name in (
        "send",
        "post_and_send",
        "send_in_transaction",
        "send_on_commit",
        "post_and_send_group",
        "apost_and_send",
        "apost_and_send_in_thread",
        "run",
    )
]
