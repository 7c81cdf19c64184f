"""The soak test: 2,000 requests to the real server with the model that ships, of which some disconnect and some are invalid, while
models are loaded and unloaded; then SIGTERM. Run by hand, since it takes half an hour on two cores.

usage: soak.py --easel build/release/easel [--model models/emoji] [--mix mixes/soak.json] [--requests N]
"""
import argparse
import pathlib
import sys
import tempfile

import driver
import mix as mixes

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))
from server import Server  # noqa: E402

MEMORY_SLACK_MIB = 64  # for allocators; leaking the latents and pixels of one image per request would be more
END_SECONDS = 120


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--easel", required=True)
    parser.add_argument("--model", default=str(HERE.parent.parent / "models" / "emoji"))
    parser.add_argument("--mix", default=str(HERE / "mixes" / "soak.json"))
    parser.add_argument("--requests", type=int)
    options = parser.parse_args()
    try:
        mix = mixes.read(options.mix, options.requests)
    except mixes.InvalidMix as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as scratch:
        log = pathlib.Path(scratch) / "server.log"
        with Server(options.easel, f"a={options.model}", 0, log, "--model", f"b={options.model}", "--log-format", "json",
                    "--local-operator") as server:
            faults = driver.drive(server.port, mix, slack_mib=MEMORY_SLACK_MIB)
            server.terminate()
            code = server.exit_code(END_SECONDS)
        print(f"after SIGTERM: exit {code}")
        if faults or code != 0:
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
    return 0 if not faults and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
