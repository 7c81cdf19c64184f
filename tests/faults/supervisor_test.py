"""systemd: READY, WATCHDOG, STOPPING.  usage: supervisor_test.py EASEL MODEL_FOLDER"""
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from program import Program

EASEL, MODEL = sys.argv[1:3]


class Supervisor(unittest.TestCase):
    def test_systemd_gets_ready_watchdog_and_stopping(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{folder}/notify")
            manager.settimeout(30)
            environment = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "200000"}
            with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, environment=environment) as program:
                self.assertEqual(manager.recv(100), b"READY=1")
                for _ in range(3):
                    self.assertEqual(manager.recv(100), b"WATCHDOG=1")
                program.process.send_signal(signal.SIGTERM)
                messages = set()
                while b"STOPPING=1" not in messages:
                    messages.add(manager.recv(100))
                self.assertEqual(program.process.wait(30), 0)

    def test_watchdog_of_another_process_gets_nothing(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(f"{folder}/notify")
            environment = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
            with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, environment=environment):
                manager.settimeout(2)
                self.assertEqual(manager.recv(100), b"READY=1")
                with self.assertRaises(socket.timeout):
                    manager.recv(100)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
