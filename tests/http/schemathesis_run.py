"""Sends requests that GET /openapi.json allows, and requests that it does not, to a server in front of a scripted engine, once
without API keys and once with one.

usage: schemathesis_run.py SCHEMATHESIS SCRIPTED_SERVER [EXAMPLES]
"""
import os
import subprocess
import sys
import tempfile

KEY = "a-key-for-this-run-only"
# Checks that are left out, each with its reason.
EXCLUDED_CHECKS = {
    "positive_data_acceptance": "which values go together depends on the model and on other values: sizes against the limits, `timesteps` "
                                "with `sigmas`, a scheduler's name, files that must be images; a schema cannot say it",
    "missing_required_header": "no header of a request is required except the key, which ignored_auth checks",
}
# (part of a path, further checks that are left out for it, reason)
EXCLUDED_FOR = (
    ("/sdapi/", ("negative_data_rejection",),
     "these routes accept what AUTOMATIC1111's clients send: a member that is not honoured never fails a request"),
    ("/images/(edits|variations|upscale)", ("negative_data_rejection",),
     "parts of a form are text: a wrong type in JSON is a valid text in a form, and unknown parts are ignored"),
    ("/images/jobs/", ("negative_data_rejection",), "unknown values of a query are ignored, as in the rest of the API"),
    ("/models/(pull|.*/(load|unload))", ("unsupported_method", "allow_header_conformance"),
     "an id may contain slashes, so each of these paths is also that of a model, which has other methods"),
)


def run(schemathesis, server, keys, examples):
    process = subprocess.Popen([server, *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split()[1])
        failed = False
        paths = [path for path, _, _ in EXCLUDED_FOR]
        groups = [([f"--exclude-path-regex={'|'.join(paths)}"], ()),
                  *(([f"--include-path-regex={path}"], checks) for path, checks, _ in EXCLUDED_FOR)]
        for selection, checks in groups:
            excluded = [*EXCLUDED_CHECKS, *checks]
            command = [schemathesis, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks=all", f"--exclude-checks={','.join(excluded)}",
                       f"--max-examples={examples}", "--seed=1", "--phases=examples,coverage,fuzzing", "--suppress-health-check=all",
                       "--continue-on-failure", "--request-timeout=20", "--warnings=off", *selection,
                       *(f"--header=Authorization: Bearer {key}" for key in keys)]
            failed |= subprocess.run(command, cwd=tempfile.gettempdir(), env={**os.environ, "NO_COLOR": "1"}).returncode != 0
        alive = process.poll() is None
        if not alive:
            print("the server has ended")
        return alive and not failed
    finally:
        process.kill()
        process.wait()


def main():
    schemathesis, server = sys.argv[1:3]
    examples = sys.argv[3] if len(sys.argv) > 3 else "50"
    passed = [run(schemathesis, server, keys, examples) for keys in ([], [KEY])]
    print(f"without keys: {'passed' if passed[0] else 'FAILED'}; with keys: {'passed' if passed[1] else 'FAILED'}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
