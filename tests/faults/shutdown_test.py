"""SIGTERM while the server is busy in different ways.  usage: shutdown_test.py EASEL MODEL_FOLDER INJECTED_FAULTS_LIBRARY"""
import concurrent.futures
import json
import signal
import socket
import subprocess
import sys
import time
import unittest

from program import IMAGES, Program, SlowMount

EASEL, MODEL, FAULTS = sys.argv[1:4]
IN_WORK = 'easel_queue_requests{state="drawing"}'
WAITING = 'easel_queue_requests{state="waiting"}'
BODY = {"prompt": "a fox", "size": "64x64", "steps": 25}


def slow_mount():
    return SlowMount(FAULTS)


def wait_for_unload(program):
    program.wait_until(lambda: b'"state":"unloaded"' in program.get("/v1/models")[1])


def terminate(program):
    program.process.send_signal(signal.SIGTERM)


class Shutdown(unittest.TestCase):
    def test_while_the_model_loads(self):
        """The request that waits for the model was accepted, so it gets its image."""
        with slow_mount() as mount, concurrent.futures.ThreadPoolExecutor(1) as client, \
                Program(EASEL, MODEL, "--keep-alive", "0.1", stderr=subprocess.DEVNULL, environment=mount.environment) as program:
            wait_for_unload(program)
            mount.delay("/unet/", 1000)
            answer = client.submit(program.draw)
            program.wait_until(lambda: program.metric(WAITING) == 1)
            self.assertEqual(program.exit_code(), 0)
            self.assertEqual(answer.result(), 200)

    def test_while_the_model_loads_and_nobody_waits_for_it(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, wait=False) as program:
            self.assertEqual(program.exit_code(), 0)

    def test_while_a_mount_does_not_respond(self):
        with slow_mount() as mount, concurrent.futures.ThreadPoolExecutor(1) as client, \
                Program(EASEL, MODEL, "--keep-alive", "0.1", "--drain-timeout", "1", stderr=subprocess.DEVNULL,
                        environment=mount.environment) as program:
            wait_for_unload(program)
            mount.delay("/unet/", 100000)
            answer = client.submit(program.draw)
            program.wait_until(lambda: program.metric(WAITING) == 1)
            self.assertEqual(program.exit_code(20), 0)
            self.assertEqual(answer.result(), 503)

    def test_while_requests_run_and_wait(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program, concurrent.futures.ThreadPoolExecutor(8) as clients:
            answers = [clients.submit(program.ask, IMAGES, BODY, timeout=120) for _ in range(8)]
            program.wait_until(lambda: program.metric(WAITING) + program.metric(IN_WORK) == 8)
            self.assertEqual(program.exit_code(120), 0)
            self.assertEqual([answer.result()[0] for answer in answers], [200] * 8)

    def test_a_closed_terminal_ends_it_in_the_same_way(self):
        """A terminal and its shell both send SIGHUP."""
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program, concurrent.futures.ThreadPoolExecutor(1) as client:
            answer = client.submit(program.ask, IMAGES, BODY, timeout=120)
            program.wait_until(lambda: program.metric(IN_WORK) == 1)
            program.process.send_signal(signal.SIGHUP)
            program.process.send_signal(signal.SIGHUP)
            self.assertEqual(answer.result()[0], 200)
            self.assertEqual(program.process.wait(30), 0)

    def test_nohup_makes_it_ignore_a_closed_terminal(self):
        def ignore_hangup():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL, prepare=ignore_hangup) as program:
            program.process.send_signal(signal.SIGHUP)
            self.assertEqual(program.draw(), 200)
            self.assertEqual(program.exit_code(), 0)

    def test_while_a_stream_runs(self):
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program, concurrent.futures.ThreadPoolExecutor(1) as client:
            body = {**BODY, "steps": 100, "stream": True, "partial_images": 2}
            answer = client.submit(program.ask, IMAGES, body, timeout=120)
            program.wait_until(lambda: program.metric(IN_WORK) == 1)
            self.assertEqual(program.exit_code(120), 0)
            status, events = answer.result()
            self.assertEqual(status, 200)
            self.assertEqual(events.count(b"event: image_generation.partial_image"), 2)
            self.assertEqual(events.count(b"event: image_generation.completed"), 1)

    def test_while_jobs_run_and_wait(self):
        """Jobs were accepted, so they are finished, and can be read until the server has ended."""
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program:
            jobs = []
            for _ in range(4):
                status, body = program.ask(IMAGES, BODY, headers={"Prefer": "respond-async"})
                self.assertEqual(status, 202)
                jobs.append(json.loads(body)["id"])
            terminate(program)
            self.assertEqual(program.process.wait(60), 0)

    def test_while_requests_are_refused(self):
        """What comes after the signal is answered with 503 as long as something that was accepted is not finished."""
        with Program(EASEL, MODEL, stderr=subprocess.DEVNULL) as program, concurrent.futures.ThreadPoolExecutor(1) as client:
            answer = client.submit(program.ask, IMAGES, {**BODY, "steps": 250}, timeout=120)
            program.wait_until(lambda: program.metric(IN_WORK) == 1)
            terminate(program)
            program.wait_until(lambda: program.get("/ready")[0] == 503)
            self.assertEqual(program.draw(), 503)
            self.assertEqual(program.process.wait(120), 0)
            self.assertEqual(answer.result()[0], 200)

    def test_while_uploads_are_slow_or_wait_for_memory(self):
        """Nothing of them was accepted, so the server does not wait for them."""
        mebibyte = 1 << 20
        flags = ["--upload-memory", str(8 * mebibyte), "--max-upload-bytes", str(4 * mebibyte)]
        head = (f"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                f"Content-Length: {4 * mebibyte}\r\n\r\n--x\r\n")
        with Program(EASEL, MODEL, *flags, stderr=subprocess.DEVNULL) as program:
            clients = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(4)]
            for client in clients:
                client.sendall(head.encode())
            time.sleep(0.5)
            began = time.monotonic()
            self.assertEqual(program.exit_code(20), 0)
            self.assertLess(time.monotonic() - began, 8)
            for client in clients:
                client.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
