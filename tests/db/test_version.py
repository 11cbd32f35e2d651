"""Tables of one definition: made, raised and lowered with what they hold, on both databases."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from db import version
from db.connection import connect
from db.errors import DatabaseVersionError
from db.queries import runs
from db.schema import Base
from db.session import open_database


def test_the_list_of_revisions_is_the_chain_of_migrations():
    config = Config()
    config.set_main_option("script_location", str(version._MIGRATIONS))
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(chain)) == version.REVISIONS


def test_migrations_make_the_tables_that_the_code_expects(database):
    """Alembic compares names, columns, types, indexes and keys; CHECKs and defaults it does not see."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        for table in Base.metadata.sorted_tables:
            checks = {check["name"] for check in inspect(connection).get_check_constraints(table.name)}
            expected = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert checks == expected, table.name


def test_a_row_that_names_nothing_of_the_queue_is_listed(database):
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO run (id, kind, state, scenario_name, created, ended) "
                "VALUES ('old', 'plan', 'done', 'first', 1763000000, 1763000060)"
            )
        )
    (old,) = runs(database)
    assert (old.id, old.state, old.attempts, old.seconds) == ("old", "done", 0, None)


def test_all_tables_go_and_come_again(database):
    version.change_version(database, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    version.change_version(database, version.REVISIONS[-1])
    assert runs(database) == []


def test_eight_processes_that_open_a_new_database_in_the_same_instant_all_succeed(database_url, tmp_path):
    """Threads with an engine of their own meet the same locks as processes."""
    start, failures = threading.Barrier(8), []

    def open_it():
        start.wait()
        try:
            with open_database(database_url, tmp_path / "runs") as database:
                runs(database)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_newer_database_is_refused_with_the_mend(database_url, database, tmp_path):
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseVersionError, match=r"9999.*install the newer Waferlag") as raised:
        open_database(database_url, tmp_path / "runs")
    assert raised.value.exit_code == 2
    with pytest.raises(DatabaseVersionError):
        version.change_version(database, "base")


@pytest.mark.parametrize("revision", version.EARLIER)
def test_tables_from_before_0_1_are_refused_with_the_mend(database_url, database, tmp_path, revision):
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    before = _columns(database)
    with pytest.raises(DatabaseVersionError, match=rf"{revision}.*Waferlag 0\.1.*waferlag db upgrade"):
        open_database(database_url, tmp_path / "runs")
    with pytest.raises(DatabaseVersionError, match=r"pip install waferlag==0\.1\.0"):
        version.change_version(database, version.REVISIONS[-1])
    assert _columns(database) == before


def test_an_older_database_is_left_alone_where_upgrading_was_not_asked_for(
    database_url, database, tmp_path, monkeypatch
):
    monkeypatch.setattr(version, "REVISIONS", (*version.REVISIONS, "0004"))
    with pytest.raises(DatabaseVersionError, match="waferlag db upgrade"):
        open_database(database_url, tmp_path / "runs", upgrade=False)
    with database.engine.connect() as connection:
        assert version.current_version(connection) == "0003"


def test_a_database_of_another_program_is_refused_and_untouched(database_url, tmp_path):
    with connect(database_url, tmp_path / "runs") as database:
        with database.engine.begin() as connection:
            connection.execute(text("CREATE TABLE invoices (id INTEGER)"))
        with pytest.raises(DatabaseVersionError, match="invoices"):
            open_database(database_url, tmp_path / "runs")
        assert inspect(database.engine).get_table_names() == ["invoices"]


def test_a_migration_that_breaks_off_leaves_the_database_as_it_was(database, monkeypatch):
    version.change_version(database, "base")
    before = _columns(database)

    def broken(connection, direction, revision):
        original(connection, direction, revision)
        raise RuntimeError("the power went")

    original = version._migrate
    monkeypatch.setattr(version, "_migrate", broken)
    with pytest.raises(RuntimeError):
        version.change_version(database, version.REVISIONS[-1])
    assert _columns(database) == before
    monkeypatch.undo()
    assert version.change_version(database, version.REVISIONS[-1]) == version.REVISIONS[-1]


def _columns(database):
    with database.engine.connect() as connection:
        found = inspect(connection)
        return {table: [c["name"] for c in found.get_columns(table)] for table in found.get_table_names()}


def test_an_empty_database_is_refused_where_none_is_to_be_made(database_url, tmp_path):
    with connect(database_url, tmp_path) as empty, empty.engine.connect():
        pass  # SQLite makes its file when somebody connects
    with pytest.raises(DatabaseVersionError, match=r"has no tables of Waferlag: .*waferlag db init"):
        open_database(database_url, tmp_path, create=False)
