"""Flags, environment, config file, help, completion and the list of models.  usage: options_test.py EASEL MODEL_FOLDER"""
import datetime
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

from program import MODEL, run


class Flags(unittest.TestCase):
    def assert_rejected(self, *args, says, env=None):
        result = run(*args, env=env)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(says, result.stderr + result.stdout)
        self.assertNotIn("terminate called", result.stderr)
        self.assertLess(len(result.stderr.strip().splitlines()), 4, result.stderr)

    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^easel \d+\.\d+\.\d+\n$")

    def test_jemalloc_options_are_applied(self):
        said = run("--version", env={"MALLOC_CONF": "stats_print:true,stats_print_opts:mdablxe"}).stderr
        if "jemalloc" not in said:
            self.skipTest("built with a sanitizer, which has an allocator of its own")
        self.assertIn('opt.thp: "always"', said)
        self.assertIn("opt.narenas: 1", said)
        self.assertIn("opt.oversize_threshold: 0", said)

    def test_help_names_every_group(self):
        text = run("--help").stdout
        for word in ("--model", "--models-dir", "--host", "--port", "--device", "--dtype", "--threads", "--api-key", "--log-level",
                     "serve", "draw", "models", "convert", "EASEL_"):
            self.assertIn(word, text)
        for command in ("serve", "draw", "models"):
            self.assertIn("easel --help", run(command, "--help").stdout)

    def test_each_help_fits_a_screen_and_has_examples(self):
        for command in ("", "serve", "draw", "models", "pull", "rm", "convert", "health", "completion"):
            result = run(*command.split(), "--help")
            self.assertEqual(result.returncode, 0)
            lines = result.stdout.splitlines()
            self.assertLessEqual(len(lines), 24, command)
            self.assertLessEqual(max(len(line) for line in lines), 80, command)
            self.assertIn("\nExamples:\n  ", result.stdout)

    def test_help_all_lists_every_option_with_its_default(self):
        text = run("serve", "--help-all").stdout
        for word in ("--max-pixels", "--drain-timeout", "--vae-tiling", "--log-format", "[9225]", "--config"):
            self.assertIn(word, text)
        self.assertNotIn("--num-images", text)
        text = run("draw", "--help-all").stdout
        for word in ("--num-images", "--eta", "DDIM and TCD", "--vae-tiling", "--timings"):
            self.assertIn(word, text)
        self.assertNotIn("--port", text)

    def test_manual_has_every_option_of_the_help(self):
        manual = run("manual").stdout.replace("\\-", "-")
        self.assertTrue(manual.startswith(".TH EASEL 1"))
        for command in ((), ("draw",), ("serve",)):
            for flag in re.findall(r"--[a-z][a-z-]+", run(*command, "--help-all").stdout):
                self.assertIn(flag, manual)
        self.assertIn("Environment: EASEL_MODELS_DIR.", manual)

    def complete(self, *words):
        """What bash offers for the last of these words."""
        script = run("completion", "bash").stdout + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _easel; printf "%s\\n" "${COMPREPLY[@]}"'
        result = subprocess.run(["bash", "-c", script, "bash", "easel", *words], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash_completes_commands_options_and_values(self):
        self.assertEqual(self.complete("d"), ["draw"])
        self.assertEqual(self.complete(""), ["serve", "draw", "models", "pull", "rm", "convert", "health", "completion"])
        self.assertEqual(self.complete("--models-d"), ["--models-dir"])
        self.assertIn("sdxl-refined", self.complete("pull", "sdxl"))
        self.assertEqual(self.complete("draw", "a cat", "--guidance-s"), ["--guidance-scale"])
        self.assertEqual(self.complete("draw", "--models-"), ["--models-dir"])
        self.assertEqual(self.complete("serve", "--guidance-s"), [])
        self.assertEqual(self.complete("serve", "--dtype", "b"), ["bfloat16"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh"])
        self.assertEqual(self.complete("--config", MODEL + "/model_ind"), [MODEL + "/model_index.json"])

    def test_zsh_completion_script_is_valid(self):
        script = run("completion", "zsh").stdout
        self.assertTrue(script.startswith("#compdef easel\n"))
        self.assertIn("--prompt-syntax[", script)
        zsh = shutil.which("zsh")
        if zsh is not None:
            subprocess.run([zsh, "-n"], input=script, text=True, check=True, timeout=60)

    def test_wrong_flags(self):
        self.assert_rejected("--no-such-flag", says="--no-such-flag")
        self.assert_rejected("--port", "99999", says="--port")
        self.assert_rejected("--port", "abc", says="--port")
        self.assert_rejected("draw", "a cat", says="--output")
        self.assert_rejected("draw", "a cat", "-o", "x.png", "--size", "512", "--model", MODEL, says="WIDTHxHEIGHT")
        for seed in ("-1", "18446744073709551616", "x"):
            self.assert_rejected("draw", "a cat", "-o", "x.png", "--seed", seed, "--model", MODEL, says="--seed")
        for interval in ("0.5", "0.8,0.2", "nan,1", "0,1,2"):
            self.assert_rejected("draw", "a cat", "-o", "x.png", f"--guidance-interval={interval}", "--model", MODEL, says="--guidance-interval is")
        self.assert_rejected("draw", "a cat", "-o", "x.png", "--guidance-interval", "0,0.5", "--guidance-scale", "1", "--strict", "--model", MODEL,
                             says="guidance_interval")
        self.assert_rejected("draw", "a cat", "-o", "x.png", "--guidance-scale", "nan", "--model", MODEL, says="guidance_scale")
        self.assert_rejected("draw", "a cat", "-o", "x.png", "--strength", "0.5", "--model", MODEL, says="`strength` needs `image`")
        self.assert_rejected("--log-level", "loud", "models", "--model", MODEL, says="loud")
        self.assert_rejected("--drain-timeout", "-1", says="--drain-timeout")
        self.assert_rejected("--max-image-bytes", "0", says="--max-image-bytes")
        self.assert_rejected("--request-timeout", "soon", says="--request-timeout")
        self.assert_rejected("serve", "--model", MODEL, "--port", "0", "--api-keys-file", "/nowhere/keys.json", says="/nowhere/keys.json")
        self.assert_rejected("models", "--model", MODEL, "--prompt-syntax", "loud", says="--prompt-syntax")
        self.assert_rejected("models", "--model", MODEL, "--embeddings-dir", "/nowhere/words", says="/nowhere/words")
        self.assert_rejected("--log-format", "xml", "models", "--model", MODEL, says="xml")

    def test_wrong_client_flags(self):
        self.assert_rejected("--alias", "name", says="--alias")
        self.assert_rejected("--alias", "=model", says="NAME=MODEL")
        self.assert_rejected("--model", MODEL, "--port", "0", "--alias", "name=unknown", says="is not a served model")
        self.assert_rejected("--public-url", "images.example", says="--public-url")
        self.assert_rejected("--image-store-bytes", "many", says="--image-store-bytes")
        self.assert_rejected("--image-store-seconds", "0", says="--image-store-seconds")

    def test_missing_folder(self):
        self.assert_rejected("serve", "--model", "/nowhere/at/all", says="/nowhere/at/all")
        self.assert_rejected("serve", "--models-dir", "/nowhere/at/all", says="/nowhere/at/all")
        with tempfile.TemporaryDirectory() as empty:
            self.assert_rejected("serve", "--models-dir", empty, says="no model")
            self.assert_rejected("serve", "--model", empty, says="model_index.json")

    def test_memory_flags(self):
        self.assert_rejected("models", "--model", MODEL, "--pin", "another", says="--pin another is not among the models: emoji")
        self.assert_rejected("models", "--model", MODEL, "--memory-budget", "20 parrots", says="--memory-budget")
        self.assert_rejected("models", "--model", MODEL, "--keep-alive", "-1", says="--keep-alive")
        self.assertEqual(run("models", "--model", MODEL, "--pin", "emoji", "--memory-budget", "20GiB", "--keep-alive", "60",
                             "--max-waiting-seconds", "100", "--max-step-seconds", "0.5").returncode, 0)
        for flag in ("--vae-tiling", "--weights-dtype", "--offload"):
            self.assert_rejected("models", "--model", MODEL, flag, "sometimes", says=flag)
        self.assert_rejected("models", "--model", MODEL, "--size", "512", says="WIDTHxHEIGHT")

    def test_vae_flag(self):
        self.assert_rejected("models", "--model", MODEL, "--vae", "zebra=/nowhere", says="--vae zebra is not among the models: emoji")
        self.assert_rejected("models", "--model", MODEL, "--vae", "/nowhere/at/all", says="the autoencoder /nowhere/at/all does not exist")
        self.assert_rejected("models", "--model", MODEL, "--vae", "emoji=/nowhere/at/all", says="/nowhere/at/all does not exist")
        self.assertEqual(run("models", "--model", MODEL, "--vae", f"{MODEL}/vae").stdout, run("models", "--model", MODEL).stdout)

    def test_preview_vae_flag(self):
        self.assert_rejected("models", "--model", MODEL, "--preview-vae", "zebra=/nowhere", says="--preview-vae zebra is not among the models: emoji")
        self.assert_rejected("models", "--model", MODEL, "--preview-vae", "/nowhere/at/all", says="the autoencoder /nowhere/at/all does not exist")
        self.assert_rejected("models", "--model", MODEL, "--preview-vae", f"{MODEL}/vae", says="is not supported for previews")

    def test_component_flag(self):
        for text in ("emoji=/nowhere", "emoji.=/nowhere", ".vae=/nowhere", "emoji.vae="):
            self.assert_rejected("models", "--model", MODEL, "--component", text, says=f"--component is {text}, expected MODEL.ROLE=PATH")
        self.assert_rejected("models", "--model", MODEL, "--component", "zebra.vae=/nowhere", says="--component zebra is not among the models: emoji")
        self.assert_rejected("models", "--model", MODEL, "--component", "emoji.vae=/nowhere", says="`vae`, /nowhere, does not exist")
        self.assert_rejected("models", "--model", MODEL, "--component", "emoji.t5=/nowhere", says="the model has no component `t5`; it has configs, clip_l")
        self.assertEqual(run("models", "--model", MODEL, "--component", f"emoji.vae={MODEL}/vae").stdout, run("models", "--model", MODEL).stdout)

    def test_quantised_weights(self):
        self.assert_rejected("models", "--model", MODEL, "--quantize", "int4", says="--quantize")
        with tempfile.TemporaryDirectory() as folder:
            model = f"{folder}/emoji"
            shutil.copytree(MODEL, model)
            for name, ending, shown in (("fp8", "safetensors", "Float8_e4m3fn"), ("q8_0", "gguf", "Q8_0")):
                result = run("convert", model, "--quantize", name)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertTrue(pathlib.Path(f"{model}/unet/diffusion_pytorch_model.{name}.{ending}").is_file(), result.stdout)
                self.assertIn(shown, run("models", "--model", model, "--variant", name).stdout)
                self.assertIn(shown, run("models", "--model", model, "--quantize", name).stdout)
                images = []
                for flags in (("--variant", name), ("--quantize", name)):
                    result = run("draw", "a fox", "-o", f"{folder}/a.png", "--model", model, "--steps", "1", "--seed", "1", "--device", "cpu",
                                 "--dtype", "float32", "--no-metadata", *flags)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    images.append(pathlib.Path(f"{folder}/a.png").read_bytes())
                self.assertEqual(images[0], images[1], "quantised before and while the model is loaded")

    def test_device_and_dtype(self):
        self.assert_rejected("models", "--model", MODEL, "--device", "gpu", says="gpu")
        self.assert_rejected("models", "--model", MODEL, "--device", "cuda:77", says="cuda:77")
        self.assert_rejected("models", "--model", MODEL, "--device", "cpu,cpu", says="twice")
        self.assert_rejected("models", "--model", MODEL, "--dtype", "int8", says="int8")

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.assert_rejected("serve", "--model", MODEL, "--port", str(taken.getsockname()[1]), says=str(taken.getsockname()[1]))

    def test_non_loopback_host_requires_key_or_allow_any_key(self):
        self.assert_rejected("serve", "--model", MODEL, "--host", "0.0.0.0", "--port", "0", says="--allow-any-key")

    def test_keys_that_would_not_protect_are_rejected(self):
        serve = ("serve", "--model", MODEL, "--port", "0")
        self.assert_rejected(*serve, "--api-key", "x,0123456789abcdef", says="--api-keys-file")
        self.assert_rejected(*serve, env={"EASEL_API_KEY": "x,0123456789abcdef"}, says="--api-keys-file")
        self.assert_rejected(*serve, env={"EASEL_API_KEY": ""}, says="EASEL_API_KEY")
        self.assert_rejected(*serve, env={"EASEL_API_KEYS_FILE": ""}, says="EASEL_API_KEYS_FILE")
        self.assert_rejected(*serve, "--trusted-proxies", "proxy", says="--trusted-proxies")

    def test_health_of_a_server_that_is_not_there(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))  # bound, but not listening
            self.assert_rejected("health", "--port", str(probe.getsockname()[1]), says="no response")

    def test_duplicate_model_names_are_rejected(self):
        self.assert_rejected("models", "--model", f"a={MODEL}", "--model", f"a={MODEL}", says="two models are called a")
        self.assert_rejected("models", "--model", MODEL, "--default-model", "zebra", says="zebra")

    def test_adapters_are_listed_and_refused_by_name(self):
        draw = ("draw", "a cat", "-o", "x.png", "--steps", "1", "--model", MODEL)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "ink.safetensors").write_bytes(b"damaged")
            self.assertIn("\n  ink\n", run("models", "--model", MODEL, "--lora-dir", folder).stdout)
            self.assert_rejected(*draw, "--lora-dir", folder, "--lora", "pen:0.5", says="no adapter `pen`; there are: ink")
            self.assert_rejected(*draw, "--lora-dir", folder, "--lora", "ink:0.5", says="ink.safetensors")
            # A name that is given twice is one adapter with the sum of the weights.
            self.assert_rejected(*draw, "--lora-dir", folder, "--lora", "ink", "--lora", "ink:2", says="ink.safetensors has 7 bytes")
        self.assert_rejected("models", "--model", MODEL, "--lora-dir", "/nowhere", says="/nowhere")
        self.assert_rejected(*draw, "--lora", "ink", says="--lora-dir")


class Models(unittest.TestCase):
    def test_lists_model_details(self):
        result = run("models", "--model", f"little={MODEL}")
        self.assertEqual(result.returncode, 0, result.stderr)
        for word in ("little (default)", "stable-diffusion", "million parameters", "Apache-2.0", "on disk", "128x128", "dpmpp_2m",
                     "modes       text-to-image, image-to-image, inpainting"):
            self.assertIn(word, result.stdout)

    def test_lists_memory_needs(self):
        plain = run("models", "--model", MODEL, "--device", "cpu", "--dtype", "float32").stdout
        for word in ("weights     unet: ", "MiB float32, stored as ", "MiB float16", "at 128x128", "for 2 rows; a decode "):
            self.assertIn(word, plain)
        stored = run("models", "--model", MODEL, "--device", "cpu", "--dtype", "float32", "--weights-dtype", "stored", "--vae-tiling", "on",
                     "--offload", "components", "--release-text-encoders")
        self.assertEqual(stored.returncode, 0, stored.stderr)
        self.assertIn("MiB float16 + ", stored.stdout)

    def test_low_memory_flags_do_not_change_the_image(self):
        with tempfile.TemporaryDirectory() as folder:
            images = []
            for name, flags in (("plain", ()), ("stored", ("--weights-dtype", "stored", "--release-text-encoders", "--offload", "components"))):
                output = pathlib.Path(folder) / f"{name}.png"
                self.assertEqual(run("draw", "a cat", "-o", str(output), "--model", MODEL, "--steps", "1", "--seed", "3", "--device", "cpu",
                                     *flags).returncode, 0)
                images.append(output.read_bytes())
            self.assertEqual(*images)

    def test_environment_and_config_file_mean_the_same_as_flags(self):
        by_flag = run("models", "--model", f"x={MODEL}").stdout
        self.assertEqual(run("models", env={"EASEL_MODEL": f"x={MODEL}"}).stdout, by_flag)
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'model = ["x={MODEL}"]\n')
            config.flush()
            self.assertEqual(run("models", "--config", config.name).stdout, by_flag)
            self.assertEqual(run("models", env={"EASEL_CONFIG": config.name}).stdout, by_flag)
            config.write("max_imagse = 3\n")
            config.flush()
            result = run("models", "--config", config.name)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("max_imagse", result.stderr)

    def test_a_broken_folder_in_models_dir_is_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(MODEL, f"{folder}/good")
            os.mkdir(f"{folder}/bad")
            pathlib.Path(f"{folder}/bad/model_index.json").write_text("{")
            result = run("models", "--models-dir", folder)
            self.assertEqual(result.returncode, 0)
            self.assertIn("good (default)", result.stdout)
            self.assertIn("bad is left out", result.stderr)

    def test_files_in_models_dir_that_cannot_be_served_say_why(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(MODEL, f"{folder}/good")
            pathlib.Path(f"{folder}/old.ckpt").write_bytes(b"PK")
            pathlib.Path(f"{folder}/cut.safetensors").write_bytes(b"\x09")
            pathlib.Path(f"{folder}/notes.txt").write_text("none of this")
            os.symlink(f"{MODEL}/vae/diffusion_pytorch_model.safetensors", f"{folder}/vae.safetensors")
            result = run("models", "--models-dir", folder)
            self.assertIn("good (default)", result.stdout)
            self.assertIn(f"easel convert {folder}/old.ckpt", result.stderr)
            self.assertIn("cut is left out", result.stderr)
            self.assertIn("vae.safetensors is left out: it holds an autoencoder", result.stderr)
            self.assertNotIn("notes", result.stderr)
            self.assertNotIn("passed over", result.stdout)
            listed = run("models", "--models-dir", folder, "--all").stdout.split("passed over\n")[1]
            for name in ("old.ckpt: it is a pickle", "cut.safetensors: ", "vae.safetensors: it holds an autoencoder"):
                self.assertIn(name, listed)
            pathlib.Path(f"{folder}/old.safetensors").write_bytes(b"\x09")
            self.assertNotIn("easel convert", run("models", "--models-dir", folder).stderr, "a converted file is not reported again")

    def test_subfolders_and_the_cache_of_the_hub_are_searched(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(f"{folder}/style")
            os.makedirs(f"{folder}/hub/models--org--name/snapshots")
            os.symlink(MODEL, f"{folder}/style/small")
            os.symlink(MODEL, f"{folder}/hub/models--org--name/snapshots/1234")
            listed = run("models", "--models-dir", folder).stdout
            self.assertIn("style/small", listed)
            self.assertIn("org/name", listed)
            self.assertIn("org/name (default)", run("models", "--model", f"{folder}/hub/models--org--name").stdout)
            self.assertIn("mine (default)", run("models", "--model", f"mine={folder}/hub").stdout)
            os.makedirs(f"{folder}/hub/models--org--other/snapshots")
            os.symlink(MODEL, f"{folder}/hub/models--org--other/snapshots/5678")
            listed = run("models", "--model", f"{folder}/hub").stdout
            self.assertIn("org/name (default)", listed)
            self.assertIn("org/other\n", listed)
            self.assertIn("gives one name to a cache of 2 models", run("models", "--model", f"mine={folder}/hub").stderr)

    def test_the_last_use_is_listed(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(MODEL, f"{folder}/link")
            state = {"XDG_STATE_HOME": f"{folder}/state"}
            self.assertIn("last used   no use is recorded", run("models", "--model", MODEL, env=state).stdout)
            begin = datetime.datetime.now().replace(second=0, microsecond=0)
            run("draw", "a fox", "-o", f"{folder}/x.png", "--steps", "1", "--model", MODEL, env=state)
            for path in (MODEL, f"{folder}/link"):
                used = re.search(r"last used   (.*)", run("models", "--model", path, env=state).stdout)[1]
                self.assertGreaterEqual(datetime.datetime.strptime(used, "%Y-%m-%d %H:%M"), begin)
            pathlib.Path(f"{folder}/file").write_bytes(b"")
            unwritable = {"XDG_STATE_HOME": f"{folder}/file"}
            drawn = run("draw", "a fox", "-o", f"{folder}/y.png", "--steps", "1", "--model", MODEL, env=unwritable)
            self.assertEqual(drawn.returncode, 0, drawn.stderr)

    def test_two_of_one_name_in_models_dir(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(MODEL, f"{folder}/twin")
            pathlib.Path(f"{folder}/twin.safetensors").write_bytes(b"\x09")
            for flags in ([], ["--model", f"{folder}/twin"]):
                warnings = run("models", *flags, "--models-dir", folder).stderr
                self.assertIn(f"{folder}/twin.safetensors is left out: another model is called twin", warnings)
                self.assertEqual(warnings.count("left out"), 1, warnings)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
