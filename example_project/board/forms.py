"""What the board takes from a form."""

from django import forms

from board.models import Post

LEAST_LAG = 0
LARGEST_LAG = 10


class PostForm(forms.ModelForm):
    """A new post. The text must not be blank, nor longer than the model says."""

    class Meta:
        model = Post
        fields = ["text"]
        labels = {"text": "Your message"}
        widgets = {"text": forms.Textarea(attrs={"rows": 2, "placeholder": "Write something…"})}
        error_messages = {"text": {"required": "Write something first: a post cannot be blank."}}

    def clean_text(self) -> str:
        """The text. Half a surrogate pair, which JSON can hold, is no text that a database takes."""
        text = self.cleaned_data["text"]
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise forms.ValidationError("The text has characters that are none.") from error
        return text


def lag_from(value: str) -> float:
    """The seconds that ``value`` names. Raises ``ValueError`` if it is no number from 0 to 10."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not LEAST_LAG <= seconds <= LARGEST_LAG:
        raise ValueError(f"The lag is {value[:40]!r}. Set a number of seconds from {LEAST_LAG} to {LARGEST_LAG}.")
    return seconds
