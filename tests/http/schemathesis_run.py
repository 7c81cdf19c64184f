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
# Operations for which a further check is left out, each with its reason.
EXCLUDED_FOR = {
    "negative_data_rejection": {
        "/sdapi/": "these routes accept what AUTOMATIC1111's clients send: a member that is not honoured never fails a request",
        "/images/edits": "parts of a form are text: a wrong type in JSON is a valid text in a form, and unknown parts are ignored",
        "/images/variations": "the same",
        "/images/upscale": "the same",
        "/images/jobs/{id}": "unknown values of a query are ignored, as in the rest of the API",
    },
}


def run(schemathesis, server, keys, examples):
    process = subprocess.Popen([server, *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split()[1])
        failed = False
        groups = [[], *EXCLUDED_FOR["negative_data_rejection"]]
        for group in groups:
            selection = [f"--include-path-regex={group.replace('{', '[{]').replace('}', '[}]')}"] if group else [
                f"--exclude-path-regex={'|'.join(path.replace('{', '[{]').replace('}', '[}]') for path in groups[1:])}"]
            excluded = [*EXCLUDED_CHECKS, *(["negative_data_rejection"] if group else [])]
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
