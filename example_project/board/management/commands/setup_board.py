"""manage.py setup_board: make the primary, with three users and the first posts."""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command

from board.models import Post
from multidb.pinning import use_primary_db

FIRST_POSTS = [
    ("ada", "Hello! Posts go to the primary, and are read from a replica."),
    ("grace", "Turn the pin store off, post something, and look for it."),
    ("linus", "Then choose a pin store and post again: there it is."),
]


class Command(BaseCommand):
    help = "Make the board's database, with three users and the first posts. Can be run again: it keeps what is there."

    @use_primary_db
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate and seed. The replicas are copied when the server starts."""
        call_command("migrate", verbosity=0, interactive=False)
        accounts = get_user_model().objects
        users = {name: accounts.get_or_create(username=name)[0] for name in settings.BOARD_TOKENS.values()}
        if not Post.objects.exists():
            for name, text in FIRST_POSTS:
                Post.objects.create(author=users[name], text=text)
        if options["verbosity"]:
            self.stdout.write("The board is ready. Start it: python example_project/manage.py runserver")
