"""What all tables of the settings have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the file; an unknown key is an error, because it is a typing error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
