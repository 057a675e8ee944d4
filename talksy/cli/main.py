"""The commands."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer

from talksy import __version__
from talksy.cli.listening import tell_unknown
from talksy.cli.tls import TlsError
from talksy.config import Settings, SettingsError
from talksy.database import Database, InUse, SchemaError, Unfit, Unreachable, schema_sql
from talksy.errors import TalksyError
from talksy.logs import setup_logs
from talksy.state import Away

app = typer.Typer(
    name="talksy",
    help="A Socket.IO assistant gateway. Settings come from the environment and .env.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command; what the operator can mend is said in a line, without a traceback."""
    # What is written here holds password hashes and what people said: it is its owner's alone.
    os.umask(0o077)
    # TOOL_MODULES may name a file beside .env. Last, so that it stands before no other module.
    sys.path.append(str(Path.cwd()))
    try:
        app()
    except SettingsError as error:
        sys.exit(str(error))
    except (Away, InUse, SchemaError, Unfit, Unreachable, TlsError, TalksyError) as error:
        sys.exit(f"talksy: {error}")
    except OSError as error:
        taken = ": choose another PORT" if error.errno == errno.EADDRINUSE else ""
        sys.exit(f"talksy: {error}{taken}")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Runs before each command."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes share the port; needs Redis.")
    ] = 1,
) -> None:
    """Serve until told to stop."""
    settings = _logged(Settings.load())
    tell_unknown()
    if workers > 1:
        from talksy.cli.workers import serve_workers

        serve_workers(settings, workers)
    else:
        from talksy.cli.serve import serve as run

        run(settings)


@app.command(hidden=True)
def worker(
    number: int,
    of: int,
    folder: Path,
    listen: Annotated[list[int], typer.Option(help="A socket's file descriptor.")],
) -> None:
    """One of the processes of `serve --workers`, which starts it."""
    from talksy.cli.serve import serve as run
    from talksy.cli.worker import Seat

    settings = _logged(Settings.load())
    structlog.contextvars.bind_contextvars(worker=number)
    run(settings, Seat(number, of, folder, listen))


def _logged(settings: Settings) -> Settings:
    setup_logs(settings.log_level, settings.log_format)
    return settings


@app.command()
def migrate(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print what would be done, for psql or sqlite3.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--from", help="With --sql: the revision that the tables have.")
    ] = None,
) -> None:
    """Bring the database's tables up to date."""
    url = Settings.load().database_url
    if sql:
        typer.echo(schema_sql(url, since), nl=False)
        return

    async def run() -> None:
        async with Database.open(url):
            typer.echo("the database is up to date")

    asyncio.run(run())


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at the settings, the data, the database and the models; 1 where something fails."""
    from talksy.cli.check import check as run

    if not asyncio.run(run(as_json=as_json)):
        raise typer.Exit(1)


@app.command()
def usage(
    email: Annotated[str | None, typer.Option(help="An account's e-mail; all if left out.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3_660, help="How many, with today.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what was used: turns and tokens, by day and model."""
    from talksy.cli.usage import usage as run

    asyncio.run(run(Settings.load(), email=email, days=days, as_json=as_json))


tools_app = typer.Typer(invoke_without_command=True)
app.add_typer(tools_app, name="tools")


@tools_app.callback()
def tools(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tools that there are, and from where; or call one."""
    from talksy.cli.tools import tools as run

    if context.invoked_subcommand is None:
        asyncio.run(run(Settings.load(), as_json=as_json))


@tools_app.command()
def call(
    name: Annotated[str, typer.Argument(help="The tool.")],
    parameters: Annotated[str, typer.Argument(help="What it is given, as a JSON object.")] = "{}",
    email: Annotated[str | None, typer.Option(help="For which account; nobody's else.")] = None,
) -> None:
    """Call a tool and print what it returns; 1 where it fails."""
    from talksy.cli.tools import call as run

    if not asyncio.run(run(Settings.load(), name, parameters, email=email)):
        raise typer.Exit(1)


@app.command()
def token(
    email: Annotated[str, typer.Option(help="The account's e-mail address.")],
) -> None:
    """Print an access token for an account, for tests and benchmarks."""
    from talksy.app import opened_auth, set_clock

    async def run() -> str:
        settings = Settings.load()
        async with (
            Database.open(settings.database_url) as database,
            opened_auth(settings, database, await set_clock(settings, database)) as auth,
        ):
            return await auth.mint(email)

    typer.echo(asyncio.run(run()))


users = typer.Typer(help="Look after accounts.", no_args_is_help=True)
scopes = typer.Typer(help="What the tokens of an account allow.", no_args_is_help=True)
users.add_typer(scopes, name="scope")
app.add_typer(users, name="user")

Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]
Scope = Annotated[str, typer.Argument(help="Such as tools:basic.")]


@scopes.command("list")
def list_scopes(email: Email) -> None:
    """Print the scopes of an account."""
    from talksy.cli.scopes import scopes as read

    typer.echo(asyncio.run(read(Settings.load(), email)))


@scopes.command("add")
def add_scope(email: Email, scope: Scope) -> None:
    """Give an account a scope, from its next token on."""
    from talksy.cli.scopes import change

    typer.echo(asyncio.run(change(Settings.load(), email, add=scope)))


@scopes.command("remove")
def remove_scope(email: Email, scope: Scope) -> None:
    """Take a scope from an account, from its next token on."""
    from talksy.cli.scopes import change

    typer.echo(asyncio.run(change(Settings.load(), email, remove=scope)))


@app.command()
def chat(
    url: Annotated[str, typer.Option(help="The server.")] = "http://localhost:3000",
    email: Annotated[str | None, typer.Option(help="Your account; asked for if left out.")] = None,
    token: Annotated[str | None, typer.Option(help="An access token instead of a login.")] = None,
) -> None:
    """Talk with the assistant of a server, over the same contract as any client."""
    from talksy.cli.chat import chat as run

    run(url, email=email, token=token)


@app.command()
def voice(
    url: Annotated[str, typer.Option(help="The server.")] = "http://localhost:3000",
    email: Annotated[str | None, typer.Option(help="Your account; asked for if left out.")] = None,
    token: Annotated[str | None, typer.Option(help="An access token instead of a login.")] = None,
    wav: Annotated[
        Path | None, typer.Option(help="What to say; the microphone if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A WAV file for what is answered.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Do not wait as long as it lasts.")] = False,
    mode: Annotated[
        Literal["turn", "transcribe", "dictate"],
        typer.Option(help="Answer it, write it down, or answer all of it in the end."),
    ] = "turn",
    profile: Annotated[str | None, typer.Option(help="A voice profile by its name.")] = None,
    language: Annotated[str | None, typer.Option(help="What is spoken, such as en.")] = None,
    speaker: Annotated[
        str | None, typer.Option("--voice", help="The voice of the answers.")
    ] = None,
) -> None:
    """Speak with the assistant of a server, over the same contract as any client."""
    from talksy.cli.voice import voice as run

    said = {"mode": mode, "profile": profile, "language": language, "voice": speaker}
    start = {name: value for name, value in said.items() if value is not None}
    run(url, email=email, token=token, wav=wav, record=out, fast=fast, start=start)
