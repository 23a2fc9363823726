from debug_toolbar.toolbar import debug_toolbar_urls

from tests.third_parties.sites import middleware

urlpatterns = [*middleware.urlpatterns, *debug_toolbar_urls()]
