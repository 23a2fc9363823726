from typing import Self

from django.db import models

from multidb import ReplicaManager, ReplicaMixin, ReplicaQuerySet


class Post(models.Model):
    text = models.TextField()


class Shelf(ReplicaMixin, models.Model):
    """Routed by its manager."""

    name = models.TextField()

    objects = ReplicaManager()


class BookQuerySet(models.QuerySet["Book"]):
    """What a project has before it comes to multidb: a plain queryset class."""

    def thick(self) -> Self:
        return self.filter(pages__gte=500)


class Book(ReplicaMixin, models.Model):
    shelf = models.ForeignKey(Shelf, models.CASCADE)
    readers = models.ManyToManyField(Post)
    pages = models.IntegerField(default=100)

    objects = ReplicaManager.from_queryset(BookQuerySet)()
    from_queryset = ReplicaQuerySet.as_manager()


class Bookmark(ReplicaMixin, models.Model):
    """Refers to a model that is routed by its manager, and to one that is not."""

    post = models.ForeignKey(Post, models.CASCADE)
    book = models.OneToOneField(Book, models.CASCADE)
    before = models.ForeignKey("self", models.SET_NULL, null=True)

    objects = ReplicaManager()


class PinRow(models.Model):
    """What the README's own store keeps."""

    client = models.CharField(max_length=100, unique=True)
    text = models.TextField()
