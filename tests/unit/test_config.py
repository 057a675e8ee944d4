"""Settings: where they come from, what they take, and what stops the start."""

import multiprocessing
import stat
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from talksy.config import Settings, SettingsError, unknown_names
from talksy.config.secret import kept_secret, weakness

SECRET = "Vq3-0h2Kx9_dPzT7uWcRb5mYfJgLsNaE8ioQ"
PRODUCTION = {
    "TALKSY_ENV": "production",
    "JWT_SECRET": SECRET,
    "CORS_ORIGIN": "https://app.example.com",
    "OPENAI_API_KEY": "sk-1",
}


def load(**variables: str) -> Settings:
    return Settings.load({"JWT_SECRET": SECRET, **variables}, None)


def faults(**variables: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return caught.value.faults


# ---- where they come from


def test_defaults_serve_without_any_variable() -> None:
    settings = load()
    assert (settings.talksy_env, settings.port) == ("development", 3000)
    assert settings.providers == ("mock",)
    assert settings.database_url == "sqlite:///data/talksy.db"
    assert settings.cors_origin == ("*",)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"PORT=4000\nexport HOST='::1' # a remark\nJWT_SECRET={SECRET}\n")
    settings = Settings.load({"PORT": "5000"}, file)
    assert (settings.host, settings.port) == ("::1", 5000)


@pytest.mark.parametrize(
    ("inside", "outside"), [("TALKSY_ENV", "NODE_ENV"), ("NODE_ENV", "TALKSY_ENV")]
)
def test_the_environment_goes_before_the_file_by_either_of_its_names(
    inside: str, outside: str, tmp_path: Path
) -> None:
    """A production that was said outside is not undone by a copied example."""
    file = tmp_path / ".env"
    file.write_text(f"{inside}=development\n")
    assert Settings.load({outside: "test", "DATA_DIR": str(tmp_path)}, file).talksy_env == "test"


def test_a_dollar_in_the_file_is_a_dollar(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("JWT_SECRET=ab${HOME}cd\n")
    assert Settings.load({}, file).jwt_secret[0].get_secret_value() == "ab${HOME}cd"


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=4000\nHOST=\n")
    settings = Settings.load({"JWT_SECRET": SECRET, "PORT": " "}, file)
    assert (settings.host, settings.port) == ("localhost", 4000)


def test_the_process_own_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    monkeypatch.setenv("PORT", "4321")
    assert Settings.load(env_file=None).port == 4321


def test_a_file_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert Settings.load({"JWT_SECRET": SECRET}, tmp_path / ".env").port == 3000


def test_a_line_of_the_file_that_is_none_is_named_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"JWT_SECRET={SECRET}\nPORT='unclosed\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, file)
    assert caught.value.faults == (f"{file} line 2 is not NAME=value",)


def test_a_file_in_another_encoding_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("SYSTEM_PROMPT=Grüße".encode("latin-1"))
    with pytest.raises(SettingsError, match="UTF-8"):
        Settings.load({"JWT_SECRET": SECRET}, file)


def test_unknown_variables_are_none_of_our_business() -> None:
    assert load(LDAP_URL="ldap://localhost", PATH="/bin").port == 3000


def test_node_env_is_understood_and_talksy_env_goes_before_it() -> None:
    assert load(NODE_ENV="test").talksy_env == "test"
    both = load(NODE_ENV="production", TALKSY_ENV="Development")
    assert both.talksy_env == "development"
    assert both.ai_mock_directives


def test_settings_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.port = 1


# ---- what they take


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900), ("7d", 604_800), ("3600s", 3600), ("1h", 3600), ("90", 90), ("2 W", 1_209_600)],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: int) -> None:
    assert load(JWT_ACCESS_EXPIRY=text).jwt_access_expiry == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-5m", "1.5h", "15 minutes", "9999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    (fault,) = faults(JWT_REFRESH_EXPIRY=text)
    assert (
        fault == f"JWT_REFRESH_EXPIRY={text} is not a time from 1s to 366d, such as 15m, 12h or 7d"
    )


def test_origins_are_a_list_and_read_as_browsers_write_them() -> None:
    text = "https://App.Example.com:443, http://localhost:5173/,http://[::1]:80"
    assert load(CORS_ORIGIN=text).cors_origin == (
        "https://app.example.com",
        "http://localhost:5173",
        "http://[::1]",
    )


@pytest.mark.parametrize(
    "text",
    ["example.com", "https://a.example/path", "https://", "ftp://a.example", "https://a.example?b",
     "https://u:p@a.example", "https://a.example:port", "*,https://a.example"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    (fault,) = faults(CORS_ORIGIN=text)
    assert fault.startswith(f"CORS_ORIGIN={text} ")


def test_trusted_proxies_are_networks_or_single_addresses() -> None:
    settings = load(TRUSTED_PROXIES="10.0.0.0/8, 192.168.1.7,2001:db8::/32")
    assert settings.trusted_proxies == tuple(
        map(ip_network, ("10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"))
    )
    assert "is not a list of networks" in faults(TRUSTED_PROXIES="10.0.0.1/8")[0]


def test_the_system_prompt_is_a_text() -> None:
    assert load(SYSTEM_PROMPT="Answer yes/no.").system_prompt == "Answer yes/no."
    assert load(SYSTEM_PROMPT="Be brief. " * 1000).system_prompt.startswith("Be brief.")
    assert "Talksy" in load().system_prompt


def test_the_system_prompt_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prompt with blank.txt"
    file.write_text("Sei kurz. Grüße!\n", encoding="utf-8")
    assert load(SYSTEM_PROMPT=str(file)).system_prompt == "Sei kurz. Grüße!"


@pytest.mark.parametrize("text", ["prompts/none", "none.txt", "none.md"])
def test_a_prompt_file_that_is_missing_is_a_fault_and_no_prompt(text: str) -> None:
    assert faults(SYSTEM_PROMPT=text) == (
        "SYSTEM_PROMPT looks like a file's name, but there is no such file",
    )


def test_a_prompt_file_that_is_not_utf_8_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"\xff\xff")
    assert faults(SYSTEM_PROMPT=str(file)) == (
        "SYSTEM_PROMPT names a file that cannot be read: it is not UTF-8",
    )


def test_a_grammar_is_a_file_or_a_list_of_phrases(tmp_path: Path) -> None:
    file = tmp_path / "grammar.jsgf"
    file.write_text("#JSGF V1.0;\ngrammar all;\npublic <all> = go away;\n")
    assert load(STT_GRAMMAR=str(file)).stt_grammar == file
    listed = load(STT_GRAMMAR=" Lights on, what time is  it /1e-25/,don't").stt_grammar
    assert listed == {"lights on": None, "what time is it": 1e-25, "don't": None}
    many = ",".join(f"say {letter * 9}" for letter in "abcdefghijklmnopqrstuvwxyz")
    assert len(load(STT_GRAMMAR=many).stt_grammar or ()) == 26  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["commands.jsgf", "/nowhere/commands", "go away /soon/", "go away,24", "~nobody/x", "-"]
)
def test_what_is_neither_a_grammar_nor_phrases_is_a_fault(text: str) -> None:
    (fault,) = faults(STT_GRAMMAR=text)
    assert fault.startswith(f"STT_GRAMMAR={text} is neither a file with a grammar (JSGF) nor a ")


def test_a_grammar_without_one_and_too_many_phrases_are_faults(tmp_path: Path) -> None:
    file = tmp_path / "grammar.jsgf"
    for data, fault in (
        (b"go away", "names a file without a grammar"),
        (b"\xff", "names a file t"),
    ):
        file.write_bytes(data)
        assert fault in faults(STT_GRAMMAR=str(file))[0]
    many = ",".join(f"say {a}{b}" for a in "abcdefghijk" for b in "abcdefghijk")
    assert "has 121 phrases: it may have from 1 to 100" in faults(STT_GRAMMAR=many)[0]
    assert "has 0 phrases" in faults(STT_GRAMMAR=",")[0]


@pytest.mark.parametrize(
    ("text", "level"), [("WARN", "warning"), ("log", "info"), ("verbose", "debug"), ("error",) * 2]
)
def test_log_levels_of_the_nestjs_version_are_understood(text: str, level: str) -> None:
    assert load(LOG_LEVEL=text).log_level == level


def test_log_lines_are_json_where_no_terminal_is() -> None:
    assert load().log_format == "json"
    assert load(LOG_FORMAT="text").log_format == "text"


def test_the_data_folder_carries_the_database() -> None:
    home = Path("~/talksy").expanduser()
    settings = load(DATA_DIR="~/talksy")
    assert settings.data_dir == home
    assert settings.database_url == f"sqlite:///{home}/talksy.db"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://user:hush@host/talksy", "is neither sqlite:///path nor postgresql://"),
        ("postgresql+asyncpg://user:hush@host/talksy", "is neither"),
        ("postgresql://user:hush@host", "names no database"),
        ("postgresql://user:hush@host/", "names no database"),
        ("postgresql://user:hush@one,two/talksy", "names several servers"),
        ("postgresql://user:hu@sh@host/talksy", "cannot be read"),
        ("postgresql://user:hu#sh@host/talksy", "cannot be read"),
        ("postgresql://user:hu/sh@host/talksy", "cannot be read"),
        ("postgres://user:hush@host/talksy?jit=off", "has the unknown parameter jit"),
        ("postgres://user:hush@host/talksy?sslmode=strict", "has an sslmode that is none of"),
        ("postgres://user:hush@host/talksy?sslrootcert=/no", "names a file for sslrootcert"),
        ("postgres://user:hush@host/talksy?channel_binding=require", "asks for channel_binding"),
        ("postgres://user:hush@host/talksy?host=other", "has a host among its parameters"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_database_that_cannot_serve_is_refused_without_its_password(url: str, what: str) -> None:
    (fault,) = faults(DATABASE_URL=url)
    assert fault.startswith(f"DATABASE_URL {what}")
    assert "hush" not in fault


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hu%40sh@db.example:6543/talksy?sslmode=verify-full&sslrootcert=system",
        f"postgres://user@host/talksy?sslmode=require&sslrootcert={__file__}&application_name=t",
        "postgresql:///talksy?host=/run/postgresql",
        "postgresql://user:hush@[::1]:5432/talksy?channel_binding=prefer",
        "sqlite:////var/lib/talksy.db",
    ],
)
def test_a_database_is_named_as_its_own_tools_name_it(url: str) -> None:
    settings = load(DATABASE_URL=url)
    assert settings.database_url == url
    assert url not in repr(settings)


def test_one_or_two_secrets_are_taken() -> None:
    settings = load(JWT_SECRET=f"{SECRET}, older")
    assert [secret.get_secret_value() for secret in settings.jwt_secret] == [SECRET, "older"]
    assert faults(JWT_SECRET="a,b,c") == (
        "JWT_SECRET has more than two secrets: the first signs, the other still verifies",
    )


# ---- the provider


def test_a_key_alone_chooses_openai() -> None:
    assert load(OPENAI_API_KEY="sk-1").providers == ("openai",)
    assert load(OPENAI_API_KEY="sk-1", AI_PROVIDER="MOCK").providers == ("mock",)


def test_openai_needs_a_key_or_a_server_of_ones_own() -> None:
    assert "needs OPENAI_API_KEY" in faults(AI_PROVIDER="openai")[0]
    local = load(AI_PROVIDER="openai", OPENAI_BASE_URL="http://localhost:8000/v1/")
    assert (local.providers, local.openai_base_url) == (("openai",), "http://localhost:8000/v1")


@pytest.mark.parametrize("text", ["localhost:8000", "ftp://host", "http://", "http://host?a=b"])
def test_a_base_url_must_be_one(text: str) -> None:
    assert faults(OPENAI_BASE_URL=text) == (
        "OPENAI_BASE_URL is not a URL such as http://localhost:8000/v1",
    )


def test_groqs_base_url_has_no_path() -> None:
    assert load(GROQ_BASE_URL="http://localhost:8000/").groq_base_url == "http://localhost:8000"
    assert faults(GROQ_BASE_URL="http://localhost:8000/openai/v1") == (
        "GROQ_BASE_URL has a path: leave it out, the API's own is added to it",
    )


def test_all_that_there_are_keys_for_answer_unless_others_are_named() -> None:
    keys = {"OPENAI_API_KEY": "sk-1", "GROQ_API_KEY": "gsk_1"}
    assert load(**keys).providers == ("openai", "groq")
    assert load(GROQ_API_KEY="gsk_1").providers == ("groq",)
    named = load(**keys, AI_PROVIDER="Groq:openai/GPT, OpenAI:llama3:8b,MOCK,acme")
    assert named.providers == ("groq:openai/GPT", "openai:llama3:8b", "mock", "acme")


@pytest.mark.parametrize("text", ["openai:", ":gpt", "mock,a b", "mock,mock", "mock\x07"])
def test_a_list_of_models_must_be_one(text: str) -> None:
    (fault,) = faults(AI_PROVIDER=text, OPENAI_API_KEY="sk-1")
    assert "is not a list such as openai,groq" in fault or "names the same model twice" in fault


def test_what_a_message_may_ask_for_needs_a_key_too() -> None:
    assert "needs GROQ_API_KEY" in faults(AI_MODELS="groq:openai/gpt-oss-20b")[0]
    assert load(AI_MODELS="small, mock:slow").ai_models == ("small", "mock:slow")


@pytest.mark.parametrize("text", ["[]", "echo", '{"echo": 3}', "[" * 100_000])
def test_the_options_of_plugins_are_an_object_of_objects(text: str) -> None:
    (fault,) = faults(AI_PLUGIN_OPTIONS=text)
    assert fault.startswith("AI_PLUGIN_OPTIONS is not a JSON object such as")
    options = '{"echo": {"delay_ms": 5}}'
    assert load(AI_PLUGIN_OPTIONS=options).ai_plugin_options == {"echo": {"delay_ms": 5}}


def test_where_tools_come_from_is_read() -> None:
    (fault,) = faults(TOOL_MODULES="my tools")
    assert (
        fault == "TOOL_MODULES=my tools is not a list of Python modules such as my_tools,shop.tools"
    )
    (fault,) = faults(TOOL_MCP_SERVERS='["https://ada:secret@example.com"]')
    assert fault.startswith("TOOL_MCP_SERVERS is not a JSON object such as")
    given = load(TOOL_MODULES="a, b.c", TOOL_MCP_SERVERS='{"shop": {"url": "https://mcp.shop"}}')
    assert given.tool_modules == ("a", "b.c")
    assert given.tool_mcp_servers == {"shop": {"url": "https://mcp.shop"}}


def test_the_key_of_an_example_is_refused() -> None:
    assert "is the one of an example" in faults(OPENAI_API_KEY="your_openai_api_key_here")[0]


# ---- production


def test_production_with_everything_said_starts() -> None:
    settings = Settings.load(PRODUCTION, None)
    assert settings.providers == ("openai",)
    assert not settings.ai_mock_directives
    assert not settings.guests_enabled


def test_guests_are_let_in_outside_production_or_where_it_is_said() -> None:
    assert load().guests_enabled
    assert not load(GUESTS_ENABLED="no").guests_enabled
    assert load(**PRODUCTION, GUESTS_ENABLED="yes").guests_enabled


def test_production_lists_all_that_is_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"NODE_ENV": "production"}, None)
    names = [fault.split()[0] for fault in caught.value.faults]
    assert names == ["CORS_ORIGIN", "AI_PROVIDER", "JWT_SECRET"]
    assert all(fault in str(caught.value) for fault in caught.value.faults)


def test_production_refuses_any_origin() -> None:
    (fault,) = faults(**{**PRODUCTION, "CORS_ORIGIN": "*"})
    assert fault.startswith("CORS_ORIGIN=* must name the pages that may connect in production")


def test_production_runs_on_the_mock_model_only_if_told_to() -> None:
    without = {**PRODUCTION, "OPENAI_API_KEY": ""}
    assert "AI_PROVIDER is missing" in faults(**without)[0]
    told = load(**without, AI_PROVIDER="mock", AI_MOCK_DIRECTIVES="1")
    assert (told.providers, told.ai_mock_directives) == (("mock",), True)


@pytest.mark.parametrize(
    "secret",
    ["too-short", "your-secret-key-change-in-production", "dev-secret-change-in-production-1234567",
     "please-CHANGE_ME-please-CHANGE_ME-123", "a" * 40, "abab" * 10,
     "0123456789-super-secret-0123456"],
)  # fmt: skip
def test_production_refuses_a_weak_secret_and_does_not_repeat_it(secret: str) -> None:
    (fault,) = faults(**{**PRODUCTION, "JWT_SECRET": f"{SECRET},{secret}"})
    assert fault.startswith("JWT_SECRET ")
    assert "openssl rand" in fault
    assert secret not in fault


@pytest.mark.parametrize("secret", [SECRET, "0f" * 4 + "91a7c3e85b2d64" * 4, "é" * 8 + SECRET[:20]])
def test_a_random_secret_is_strong(secret: str) -> None:
    assert weakness(secret) is None


# ---- faults


def test_every_fault_is_listed_at_once_with_what_is_right() -> None:
    assert faults(
        TALKSY_ENV="prod",
        PORT="abc",
        LOG_LEVEL="loud",
        DATABASE_MIGRATE="maybe",
        OPENAI_TEMPERATURE="nan",
        AI_PROVIDER="groq",
        BCRYPT_ROUNDS="99",
        MAX_BODY_BYTES="1.5",
    ) == (
        "TALKSY_ENV=prod is not one of development, production, test",
        "PORT=abc is not a whole number from 0 to 65535",
        "LOG_LEVEL=loud is not one of debug, info, warning, error, critical",
        "DATABASE_MIGRATE=maybe is not true or false",
        "OPENAI_TEMPERATURE=nan is not a number from 0 to 2",
        "AI_PROVIDER=groq needs GROQ_API_KEY, or GROQ_BASE_URL of a server without keys",
        "BCRYPT_ROUNDS=99 is not a whole number from 4 to 15",
        "MAX_BODY_BYTES=1.5 is not a whole number from 1000 to 100000000",
    )


def test_a_fault_names_the_variable_that_was_used() -> None:
    assert faults(NODE_ENV="staging")[0].startswith("NODE_ENV=staging is not one of")


def test_a_long_wrong_value_is_cut() -> None:
    (fault,) = faults(PORT="9" * 5000)
    assert len(fault) < 200


def test_secrets_are_neither_shown_nor_dragged_along_by_the_error() -> None:
    with pytest.raises(SettingsError) as caught:
        load(JWT_SECRET="hush1,hush2,hush3", OPENAI_BASE_URL="hush4", PORT="x")
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("token", ["short", "with blanks in between", "ümlaute-are-not-ascii"])
def test_a_token_for_the_metrics_is_long_enough_to_be_one(token: str) -> None:
    (fault,) = faults(METRICS_TOKEN=token)
    assert fault.startswith("METRICS_TOKEN is not 16 or more ASCII characters without blanks")
    assert token not in fault


def test_a_certificate_needs_its_key_and_a_key_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "one.pem").touch()
    name = str(tmp_path / "one.pem")
    for given in ({"TLS_CERT": name}, {"TLS_KEY": name}):
        (fault,) = faults(**given)
        assert fault.endswith(" and TLS_CERT go together: give both, or none")
    assert faults(TLS_CERT="/nowhere", TLS_KEY=name) == ("TLS_CERT=/nowhere is no file",)


def test_a_slip_of_the_pen_in_the_file_is_found(tmp_path: Path) -> None:
    """With the nearest name there is; the environment is everybody's, and not looked at."""
    file = tmp_path / ".env"
    file.write_text("PORT=1\nNODE_ENV=test\nOPENAI_APIKEY=x\nport=2\nGREETING=hello\n")
    assert unknown_names(file) == {
        "OPENAI_APIKEY": "OPENAI_API_KEY",
        "port": "PORT",
        "GREETING": None,
    }
    assert unknown_names(tmp_path / "nothing") == {}


def test_settings_show_no_secret() -> None:
    shown = repr(
        load(OPENAI_API_KEY="sk-hush", SYSTEM_PROMPT="hush", DATABASE_URL="sqlite:///hush")
    )
    assert "hush" not in shown
    assert SECRET not in shown
    assert "port=3000" in shown


# ---- the secret that is kept


def test_a_missing_secret_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    first = Settings.load({"DATA_DIR": str(folder)}, None)
    again = Settings.load({"DATA_DIR": str(folder)}, None)
    assert first.jwt_secret == again.jwt_secret
    assert weakness(first.jwt_secret[0].get_secret_value()) is None
    assert stat.S_IMODE((folder / "jwt_secret").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["jwt_secret"]


def test_the_settings_of_production_leave_nothing_in_the_data_folder(tmp_path: Path) -> None:
    Settings.load({**PRODUCTION, "DATA_DIR": str(tmp_path)}, None)
    assert list(tmp_path.iterdir()) == []


def _make(folder: Path, barrier: Any, found: Any) -> None:
    barrier.wait()
    found.put(kept_secret(folder))


def test_two_starts_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier, found = spawn.Barrier(2), spawn.SimpleQueue()
    starts = [spawn.Process(target=_make, args=(tmp_path, barrier, found)) for _ in range(2)]
    for start in starts:
        start.start()
    secrets = {found.get() for _ in starts}
    for start in starts:
        start.join()
    assert len(secrets) == 1


def test_a_secret_made_meanwhile_by_another_start_is_the_one(tmp_path: Path) -> None:
    from talksy.config.secret import _make as make

    path = tmp_path / "jwt_secret"
    make(path)
    kept = path.read_text()
    make(path)
    assert path.read_text() == kept


def test_a_data_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="JWT_SECRET is not set and cannot be kept") as caught:
        Settings.load({"DATA_DIR": str(tmp_path / "file" / "data")}, None)
    assert "set DATA_DIR" in caught.value.faults[0]


def test_a_kept_secret_that_was_spoilt_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="too short: delete it"):
        Settings.load({"DATA_DIR": str(tmp_path)}, None)


def test_other_users_cannot_read_a_new_data_folder(tmp_path: Path) -> None:
    kept_secret(tmp_path / "data")
    assert not (tmp_path / "data").stat().st_mode & 0o077


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("localhost:6379", "is none of redis://"),
        ("http://:hush@host", "is none of redis://"),
        ("redis+socket://:hush@host", "is none of redis://"),
        ("redis://:hush@one,two", "names several servers"),
        ("redis://:hu@sh@host", "cannot be read"),
        ("redis://:hu/sh@host", "has a host that cannot be read"),
        ("redis://:hush@", "has a host that cannot be read"),
        ("redis://:hush@host:high", "has a host that cannot be read"),
        ("redis://:hush@host/name", "has a database that is no number"),
        ("redis+sentinel://:hush@host:26379", "names no service"),
        ("redis+sentinel://:hush@host/service/name", "names no service"),
        ("redis+cluster://:hush@host/1", "names a database"),
        ("rediss://:hush@host?timeout=1", "has the unknown parameter timeout"),
        ("redis://:hush@host?ssl_check_hostname=false", "has ssl_check_hostname without TLS"),
        ("rediss://:hush@host?ssl_check_hostname=never", "has ssl_check_hostname that is none of"),
        ("rediss://:hush@host?ssl_ca_certs=/no", "names a file for ssl_ca_certs"),
    ],
)
def test_a_redis_that_cannot_be_found_is_refused_without_its_password(url: str, what: str) -> None:
    (fault,) = faults(REDIS_URL=url)
    assert fault.startswith(f"REDIS_URL {what}")
    assert "hush" not in fault


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://user:hush@[::1]:6380/3",
        f"rediss://:hush@host/0?ssl_ca_certs={__file__}&ssl_check_hostname=false",
        "redis+sentinel://:hush@one:26379,two/talksy/0",
        "rediss+cluster://one:7000,two:7000",
    ],
)
def test_a_redis_is_named_by_its_url(url: str) -> None:
    settings = load(REDIS_URL=url)
    assert settings.redis_url == url
    assert url not in repr(settings)


def test_a_redis_may_be_named_in_pieces_too() -> None:
    assert load().redis_url is None
    assert load(REDIS_ENABLED="true").redis_url == "redis://localhost:6379/0"
    pieces = {"REDIS_HOST": "redis.example", "REDIS_PORT": "7000", "REDIS_PASSWORD": "hu@sh"}
    assert load(**pieces).redis_url == "redis://:hu%40sh@redis.example:7000/0"
    assert load(**pieces, REDIS_URL="redis://host").redis_url == "redis://host"
    assert "sh@redis" not in repr(load(**pieces))


def test_redis_can_be_left_alone_whatever_else_is_set() -> None:
    assert load(REDIS_URL="redis://host", REDIS_ENABLED="no").redis_url is None
    assert load(REDIS_HOST="host", REDIS_ENABLED="false").redis_url is None
