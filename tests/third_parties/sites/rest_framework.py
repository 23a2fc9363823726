from django.urls import include, path
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.permissions import IsAuthenticated
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from multidb.pinning import use_primary_db
from tests.models import Post


class FreshTokenAuthentication(TokenAuthentication):
    """Looks tokens up on the primary."""

    authenticate_credentials = use_primary_db(TokenAuthentication.authenticate_credentials)


class FreshJWTAuthentication(JWTAuthentication):
    """Looks users up on the primary."""

    get_user = use_primary_db(JWTAuthentication.get_user)


class PostSerializer(ModelSerializer):
    class Meta:
        model = Post
        fields = ["id", "text"]


def posts_by(authentication: type[BaseAuthentication]) -> type[ModelViewSet]:
    class Posts(ModelViewSet):
        queryset = Post.objects.order_by("text")
        serializer_class = PostSerializer
        authentication_classes = [authentication]
        permission_classes = [IsAuthenticated]

    return Posts


router = DefaultRouter()
for prefix, authentication in {
    "token": TokenAuthentication,
    "fresh-token": FreshTokenAuthentication,
    "session": SessionAuthentication,
    "jwt": JWTAuthentication,
    "fresh-jwt": FreshJWTAuthentication,
}.items():
    router.register(prefix, posts_by(authentication), basename=prefix)

urlpatterns = [
    path("", include(router.urls)),
    path("obtain-token", obtain_auth_token),
    path("obtain-jwt", TokenObtainPairView.as_view()),
    path("refresh-jwt", TokenRefreshView.as_view()),
]
