"""`python -m tests.benchmarks {job,layers,optimizers,recurrent,small,step}`."""

import argparse

from tests.benchmarks import job, layers, optimizers, recurrent, small, step


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Side-by-side measurements.")
    commands = parser.add_subparsers(dest="name", required=True)
    for module in (job, layers, optimizers, recurrent, small, step):
        command = commands.add_parser(module.__name__.rsplit(".", 1)[1], help=module.__doc__.splitlines()[0])
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
