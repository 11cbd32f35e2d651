"""Settings: from the command line, ``WAFERLAG_*``, a TOML file and defaults, the first that speaks wins.

The file is ``waferlag.toml`` in the user's configuration folder, or the one that ``WAFERLAG_CONFIG`` names.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings import PydanticBaseSettingsSource as Source
from pydantic_settings import SettingsError as UnreadableVariableError

from executor.errors import FileError, LimitError, Problem, UserMistakeError, did_you_mean, shown
from planner.scenario.errors import ScenarioError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from db.goodputs import GoodputFolder
    from planner.scenario.models import Scenario

PREFIX = "WAFERLAG_"
OUTSIDE = ("CONFIG", "DEBUG", "CHROMIUM", "REQUIRE_", "TEST_")
"""Variables with our prefix that begin so are no settings: they steer tests and what an error shows."""
SECRET = ("db", "password", "smtp")
"""Settings whose values are in no message: they are secrets, or tables that hold one."""


class SettingsError(UserMistakeError):
    """A setting that cannot be used, with its place and mend."""


def data_folder() -> Path:
    """Where this system keeps a user's data."""
    return _folder("Application Support", "", "XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """Where this system keeps what a program can find again."""
    return _folder("Caches", "cache", "XDG_CACHE_HOME", ".cache")


def _folder(mac: str, windows: str, variable: str, otherwise: str) -> Path:
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / mac / "waferlag"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "waferlag" / windows
    return Path(os.environ.get(variable) or home / otherwise) / "waferlag"


def config_file() -> Path:
    """The TOML file that is read if it exists."""
    if named := os.environ.get("WAFERLAG_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "waferlag" / "waferlag.toml"


class Smtp(BaseModel):
    """The server that sends e-mail."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    host: str = ""
    """Name of the server. Empty: no e-mail can be sent."""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    """Port."""
    security: Annotated[str, Field(pattern="^(starttls|tls|none)$")] = "starttls"
    """starttls, tls, or none."""
    user: str = ""
    """Account. Empty: none is needed."""
    password: SecretStr = SecretStr("")
    """Password."""
    sender: str = "waferlag@localhost"
    """Address that the mail comes from."""


def _split(given: object) -> object:
    """A variable names several hosts with commas between them; the file has a list."""
    return [word.strip() for word in given.split(",") if word.strip()] if isinstance(given, str) else given


def _judged(listed: tuple[str, ...]) -> tuple[str, ...]:
    """The hosts, refused here where one is no name, address or network: later nobody would be there to be told."""
    from executor.measure.addresses import hosts_of

    try:
        hosts_of(listed)
    except UserMistakeError as error:
        raise ValueError(str(error)) from None
    return listed


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_judged)]


class Settings(BaseSettings):
    """Everything that is decided outside the scenario."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    db: SecretStr = Field(default_factory=lambda: SecretStr(f"sqlite:///{data_folder() / 'waferlag.sqlite'}"))
    """Database: sqlite:///FILE or postgresql://USER@HOST/NAME."""
    runs_folder: Path | None = None
    """Folder of the runs' Parquet files. None: beside the SQLite file. Several machines must share one."""
    goodput_folder: Path = Field(default_factory=lambda: cache_folder() / "goodput")
    """Folder of replayed goodputs, so that each is replayed once."""
    max_replications: Annotated[int, Field(ge=2)] = 200_000
    """The most futures that a run may compute."""
    max_horizon_months: Annotated[int, Field(ge=1)] = 60
    """The longest horizon that a run may plan."""
    max_trace_bytes: Annotated[int, Field(ge=1)] = 1 << 30
    """The largest trace that is read, in bytes after unpacking."""
    max_case_rows: Annotated[int, Field(ge=1)] = 100_000
    """The most rows that a file of measured or asked cases may have."""
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 45
    """A run whose worker has not been heard of for so long is taken over."""
    beat_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    """How often a worker says that it lives; well below the lease."""
    poll_seconds: Annotated[float, Field(gt=0, le=600)] = 1
    """How often an idle worker looks for work and for schedules that are due."""
    retry_seconds: Annotated[float, Field(ge=0)] = 30
    """A run whose process was killed (out of memory, say) waits so long before it is tried again."""
    outage_seconds: Annotated[float, Field(ge=0)] = 600
    """A worker gives up when the database has been locked, full or away for so long."""
    backend: Annotated[str, Field(pattern="^(processes|dask)$")] = "processes"
    """What computes replications: processes of this machine, or the workers of a dask cluster."""
    scheduler: str | None = None
    """Address of the dask scheduler, as tcp://HOST:8786."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """Ended runs older than this are removed with their files, once a day. None: kept for ever."""
    warn_days: Annotated[float, Field(ge=0)] = 14
    """A sink is told of an order-by date that is nearer than this."""
    webhook_seconds: Annotated[float, Field(gt=0, le=300)] = 10
    """How long a webhook may take to answer."""
    endpoint_hosts: Hosts = ()
    """Hosts that queued measurements may go to: public ones by name, others by address or network. None: to no host."""
    webhook_hosts: Hosts = ()
    """Hosts that webhooks may go to, likewise. None: to public hosts and this machine."""
    smtp: Smtp = Smtp()
    """The server that sends e-mail."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, env_settings: Source, *others: Any, **more: Any
    ) -> tuple[Source, ...]:
        """Arguments before the environment, the environment before the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    def database(self, given: str | None) -> str:
        """The database's URL: the one given on the command line, else the setting. It may hold a password."""
        return given or self.db.get_secret_value()

    def goodputs(self) -> "GoodputFolder":
        """The memory of replayed goodputs, for the planner."""
        from db.goodputs import GoodputFolder

        return GoodputFolder(self.goodput_folder)

    def allow(self, scenario: "Scenario") -> None:
        """Raise :class:`executor.errors.LimitError` for a scenario that asks for more than is allowed."""
        for what, found, limit, name in (
            ("run.replications", scenario.run.replications, self.max_replications, "MAX_REPLICATIONS"),
            ("run.training_futures", scenario.run.training_futures, self.max_replications, "MAX_REPLICATIONS"),
            ("horizon_months", scenario.horizon_months, self.max_horizon_months, "MAX_HORIZON_MONTHS"),
        ):
            if found > limit:
                raise LimitError(what, found, limit, PREFIX + name)


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises :class:`SettingsError` for a value out of range, an unknown name or an unreadable file.
    """
    return read_settings()


def read_settings(**given: Any) -> Settings:
    """The settings as they stand now; ``given`` ones override environment and file."""
    _refuse_unknown_variables()
    if os.environ.get("WAFERLAG_CONFIG") and not os.path.isfile(config_file()):
        raise FileError(config_file(), "no such file", mend="mend WAFERLAG_CONFIG, or unset it")
    try:
        return Settings(**given)
    except ValidationError as error:
        items = error.errors(include_url=False)
        given_by = dict.fromkeys(_source(item["loc"]) for item in items)
        raise ScenarioError(f"the settings ({', '.join(given_by)})", [_problem(item) for item in items]) from None
    except UnreadableVariableError as error:
        names = [name for name in Settings.model_fields if f'"{name}"' in str(error)]
        variable = ", ".join(f"{PREFIX}{name.upper()}" for name in names) or f"a variable {PREFIX}*"
        raise SettingsError(f"{variable} is not valid JSON (its value is not shown)") from None
    except (OSError, ValueError, RecursionError) as error:  # TOML that is none, or nested too deep
        raise FileError(config_file(), f"is not valid TOML: {getattr(error, 'strerror', None) or error}") from None


def _source(loc: tuple[int | str, ...]) -> str:
    """The variable that gives a setting, the longest that is set; else the file."""
    for count in range(len(loc), 0, -1):
        name = PREFIX + "__".join(str(step) for step in loc[:count]).upper()
        if any(variable.upper() == name for variable in os.environ):
            return name
    return str(config_file())


def _problem(item: "ErrorDetails") -> Problem:
    """What is wrong with a setting. Its value is shown only where it is a plain one of a known setting that holds no
    secret: a misspelt name may be a password's."""
    loc = item["loc"]
    known = Smtp.model_fields if loc[0] == "smtp" and len(loc) > 1 else Settings.model_fields
    nearest = did_you_mean(loc[-1], known)
    unknown = item["type"] == "extra_forbidden"
    secret = unknown or loc[0] in SECRET or loc[-1] in SECRET or not isinstance(item["input"], str | int | float)
    return Problem(
        ".".join(str(step) for step in loc),
        "no such setting" if unknown else item["msg"],
        None if secret else item["input"],
        f"did you mean {nearest}?" if unknown and nearest else None,
    )


def _refuse_unknown_variables() -> None:
    """A misspelt variable would otherwise be passed over in silence; what resembles none is not ours."""
    known = [name.upper() for name in Settings.model_fields]
    for variable in os.environ:
        field = variable.removeprefix(PREFIX).partition("__")[0]
        unknown = variable.startswith(PREFIX) and field not in known and not field.startswith(OUTSIDE)
        if unknown and (nearest := did_you_mean(field, known)) is not None:
            raise SettingsError(f"{shown(variable)} is no setting (did you mean {PREFIX}{nearest}?)")
