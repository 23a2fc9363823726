from django.contrib import admin
from django.urls import path

from tests.models import Post

site = admin.AdminSite()


@admin.register(Post, site=site)
class PostAdmin(admin.ModelAdmin):
    list_display = ["text"]


urlpatterns = [path("admin/", site.urls)]
