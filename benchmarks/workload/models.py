"""What is written on the board."""

from django.db import models


class Post(models.Model):
    """The ``number``-th post of its author. Posts are never changed, so that no vacuum gets in a standby's way."""

    author = models.CharField(max_length=40)
    number = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["author", "number"], name="numbered")]

    def __str__(self) -> str:
        return f"{self.author} {self.number}"
