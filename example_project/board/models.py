"""What the board keeps: posts."""

from django.conf import settings
from django.db import models

LONGEST_TEXT = 500


class Post(models.Model):
    """What somebody wrote on the board; ``author`` is ``None`` for a visitor who was not signed in."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    text = models.TextField(max_length=LONGEST_TEXT)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"#{self.pk} by {self.author_name}"

    @classmethod
    def newest_number(cls, alias: str) -> int:
        """The number of the newest post that the database ``alias`` has; 0 if it has none."""
        return cls.objects.using(alias).values_list("pk", flat=True).first() or 0

    @property
    def author_name(self) -> str:
        """The name to show."""
        return self.author.username if self.author else "a visitor"
