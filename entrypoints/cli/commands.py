"""Every command: its function, and its help.

A command is named as text, so that cyclopts imports its file only when that command is asked for. `holdfast --help`
would have to import all of them otherwise, with the libraries of every server. For the same reason the help stands
here. Its first paragraph is shown in lists of commands, and all of it in the command's own help.
"""

from typing import Final

from cyclopts import App

from entrypoints.cli.version import version

_NEEDS_DATABASE: Final = "Set DATABASE_URL to a PostgreSQL server first, and REDIS_URL and AMQP_URL if you have them."


def make_app() -> App:
    app = App(name="holdfast", help="An order engine.", version=version, help_format="plaintext")
    app.command(
        "entrypoints.cli.programs:up",
        help="Run the whole service: API, worker and relay, in one process or in several.\n\n"
        "DATABASE_URL names a PostgreSQL server, REDIS_URL and AMQP_URL others beside it. Without servers, the data is"
        " kept in SQLite, and demo products are added.",
    )
    app.command(
        "entrypoints.cli.programs:stop",
        help="Stop what `holdfast up` runs in this data folder: the API first, then the others.\n\n"
        "Work in progress is finished, and nothing is lost.",
    )
    app.command("entrypoints.cli.programs:api", help=f"Run the HTTP API.\n\n{_NEEDS_DATABASE}")
    app.command(
        "entrypoints.cli.programs:worker",
        help=f"Run the worker: payments, refunds and the expiry of unpaid orders.\n\n{_NEEDS_DATABASE} Without"
        " AMQP_URL, the broker is in this process, and it does the relay's work, too.",
    )
    app.command(
        "entrypoints.cli.programs:relay",
        help="Run the relay, which publishes events to RabbitMQ.\n\nSet DATABASE_URL and AMQP_URL first.",
    )
    app.command(
        "entrypoints.cli.tables:migrate",
        help="Create the tables and the queues, or bring them up to date.\n\n"
        "This is safe at any time, and from several places at once. While an earlier release is at work, run it with"
        " --expand before the rollout, and with --contract after it. The exit code is 1 if an earlier release still"
        " needs what would be taken away, or if a server refuses something for good, such as a queue of another kind"
        " that has a name of ours.",
    )
    app.command(
        "entrypoints.cli.tables:seed",
        help="Add the demo products.\n\nProducts that exist already stay as they are.",
    )
    app.command(
        "entrypoints.cli.doctor:doctor",
        help="Check every server: whether it works, its version, and what is wrong with it and with its queues.\n\n"
        "The exit code is 1 if something does not work.",
    )
    app.command(
        "entrypoints.cli.status:status",
        help="Show what waits and who is at work: orders by status, outbox, queues, workers and relays.",
    )
    app.command(
        "entrypoints.cli.namespace:remove_namespace",
        help="Take the queues and the exchange of a shop away from RabbitMQ: those of HOLDFAST_NAMESPACE.\n\n"
        "Without --yes, it only lists them, and what is in them. The database and Redis stay as they are.",
    )
    app.command(
        "entrypoints.cli.exports:export",
        help="Write orders, products or events as CSV or NDJSON.\n\n"
        "The first line has the position in the feed that the export is as of: what has happened since then is in the"
        " events after it.",
    )
    app.command(
        "entrypoints.cli.why:why",
        help="Tell where an order stands, what it waits for and why, and what drives it on.\n\n"
        "Then come the steps that it has taken, with the time from each to the next.",
    )
    app.command(
        "entrypoints.cli.listen:listen",
        help="Send the events of a shop to a program on this machine, signed as webhooks are.\n\n"
        "It keeps its place in the feed: started again, it goes on with the first event that was not taken. An event is"
        " sent again until the answer is 2xx, and later ones wait.",
    )
    app.command(
        "entrypoints.cli.webhook_key:webhook_key",
        help="Make a key that signs webhooks as v1a, for HOLDFAST_WEBHOOK_SIGNING_KEYS.\n\n"
        "It is printed, and kept nowhere.",
    )
    app.command(
        "entrypoints.cli.imports:import_file",
        name="import",
        help="Import products, changes of stock or orders from a file of CSV or NDJSON.\n\n"
        "A bad row is printed, and nothing is done; with --on-error skip the other rows are. The exit code is 1 if a"
        " row is bad, and 2 if the file can't be read.",
    )
    jobs = app.command(App(name="jobs", help="Look at jobs, try them again, or cancel them."))
    jobs.command("entrypoints.cli.jobs:list_jobs", name="list", help="List jobs, the newest first.")
    jobs.command("entrypoints.cli.jobs:show", help="Show a job: status, attempts, error, progress and times.")
    jobs.command("entrypoints.cli.jobs:retry", help="Try jobs again at once that failed or were cancelled.")
    jobs.command("entrypoints.cli.jobs:cancel", help="Cancel jobs that have not ended.")
    app.command(
        "entrypoints.cli.restored:restored",
        help="After the database was restored from a backup: record again what the payment provider has done since.\n\n"
        "Stop all programs first. Charges whose orders are lost are listed. Until this was done, no program starts on a"
        " restored PostgreSQL.",
    )
    app.command(
        "entrypoints.cli.reconcile:reconcile",
        help="Compare stock, orders, payments, the provider's ledger, the outbox and dead letters.\n\n"
        "The exit code is 1 if something does not agree and was not repaired.",
    )
    app.command(_make_products())
    app.command(_make_dead_letters())
    app.command(_make_keys())
    return app


def _make_products() -> App:
    app = App(name="products", help="Add, change, restock and list products.")
    app.command("entrypoints.cli.products:add", help="Add a product, and print its id.")
    app.command(
        "entrypoints.cli.products:change",
        help="Change the name, the price or the SKU of a product, or take it out of sale, and print the product.",
    )
    app.command(
        "entrypoints.cli.products:restock",
        help="Add units to the stock of a product, or take some out, and print the new stock.",
    )
    app.command(
        "entrypoints.cli.products:list_products", name="list", help="Print all products: id, stock, price and name."
    )
    return app


def _make_dead_letters() -> App:
    app = App(name="dead", help="Look after dead letters: messages that could not be processed.")
    app.command(
        "entrypoints.cli.dead_letters:list_dead_letters",
        name="list",
        help="Print the dead letters that wait for a decision, oldest first.",
    )
    app.command("entrypoints.cli.dead_letters:show", help="Print everything known about a dead letter.")
    app.command(
        "entrypoints.cli.dead_letters:replay",
        help="Process dead letters again.\n\nWork that was done already is not repeated.",
    )
    app.command(
        "entrypoints.cli.dead_letters:discard",
        help="Discard dead letters.\n\nThey stay in the table, with the name of the person who decided.",
    )
    return app


def _make_keys() -> App:
    app = App(name="keys", help="Make, list, rotate and revoke API keys.")
    app.command(
        "entrypoints.cli.keys:create",
        help="Make an API key, and print it: it is shown this once.\n\n"
        "Roles: admin may do everything; shop is for the shop's own software; customer for one customer and its own"
        " orders; read for reading orders and events.",
    )
    app.command(
        "entrypoints.cli.keys:list_keys", name="list", help="Print all keys, without their secret: who, since when."
    )
    app.command(
        "entrypoints.cli.keys:rotate", help="Make a key with the same rights, and end the old one after the overlap."
    )
    app.command("entrypoints.cli.keys:revoke", help="End a key at once.")
    return app
