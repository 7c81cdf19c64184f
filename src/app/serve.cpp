// easel serve: starts the engine and the HTTP server, and shuts them down in order.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "app/commands.h"
#include "app/compute_threads.h"
#include "app/model_list.h"
#include "app/service_manager.h"
#include "app/watchdog.h"
#include "core/background_log.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/server.h"
#include "http/transport/address.h"

namespace easel {
namespace {

/// A server that other machines can reach needs keys, unless the flags explicitly do without.
void check_exposure(const Options& options) {
  const bool has_keys = !options.server.api_keys.empty() || !options.server.api_keys_file.empty();
  if (!http::is_loopback(options.server.host) && !has_keys && !options.allow_any_key) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("--host ", options.server.host, " can be reached by other machines: give --api-key KEY or ",
                       "--api-keys-file FILE, or --allow-any-key to accept requests from everyone"));
  }
}

/// What a server does that its operator may not intend.
void warn_about_access(const ServerOptions& options) {
  constexpr std::size_t kLongEnough = 16;
  for (const auto& key : options.api_keys) {
    if (key.size() < kLongEnough) {
      log::warning(concat("an API key has fewer than ", kLongEnough, " characters and could be guessed; ",
                          "`openssl rand -hex 32` makes a good one"));
    }
  }
  const bool has_keys = !options.api_keys.empty() || !options.api_keys_file.empty();
  if (!has_keys && !http::is_loopback(options.host)) {
    log::warning(concat("everybody who can reach ", options.host, " can use this server, because it has no API keys"));
  }
}

/// Every connection takes a descriptor, and the usual soft limit of 1,024 is a convention for programs that use
/// select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) log::warning("the limit of open files could not be raised");
}

sigset_t shutdown_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// Waits for SIGTERM or SIGINT, then lets accepted requests finish within the drain timeout. A second signal ends the
/// process at once.
void await_shutdown(Engine& engine, HttpServer& server, double drain_timeout_s) {
  const sigset_t signals = shutdown_signals();
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("shutting down: accepted requests are finished, new ones are refused",
            {{"drain_timeout", drain_timeout_s}});
  notify_service_manager("STOPPING=1");
  server.begin_shutdown();
  std::thread([signals] {
    int second = 0;
    sigwait(&signals, &second);
    _exit(130);
  }).detach();
  using std::chrono::milliseconds;
  const auto timeout =
      drain_timeout_s > 0 ? milliseconds(static_cast<std::int64_t>(drain_timeout_s * 1000)) : milliseconds::max();
  if (!engine.drain(timeout)) log::warning("the drain timeout has expired; unfinished requests were aborted");
  server.stop();
}

std::string url_host(const std::string& host) {
  if (host == "0.0.0.0" || host == "::") return "localhost";
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

void log_startup(const ModelDescription& model, std::size_t others, const std::string& host, int port) {
  const auto base = concat("http://", url_host(host), ":", port);
  log::info(concat("listening on ", base));
  log::info(concat("default model: ", model.id, " (", model.family, ", ", model.native_width, "x", model.native_height,
                   ", licence: ", model.licence.empty() ? "not stated" : model.licence, ")",
                   others > 0 ? concat(", and ", others, " more") : ""));
  log::info(
      concat("try: curl ", base, "/v1/images/generations -H 'Content-Type: application/json' -d '{\"prompt\": \"a red ",
             "apple on a blue background\", \"size\": \"512x512\"}' | python3 -c 'import sys, json, base64; ",
             "open(\"easel.png\", \"wb\").write(base64.b64decode(json.load(sys.stdin)[\"data\"][0][\"b64_json\"]))'"));
}

}  // namespace

int serve(const Options& options) {
  check_exposure(options);
  // Blocks the signals before any thread exists, so that all threads inherit this and only await_shutdown gets them.
  const sigset_t signals = shutdown_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // the reader of the log may end
  const log::BackgroundLog background_log;
  raise_descriptor_limit();
  set_compute_threads(options.model.threads);

  warn_about_access(options.server);
  auto models = list_models(options.model);
  const auto default_model = models[0].description;
  const auto others = models.size() - 1;
  auto engine_options = options.engine;
  engine_options.devices = list_devices(options.model);
  auto server_options = options.server;
  server_options.metrics = make_metrics(server_options.version);
  engine_options.observer = server_options.metrics;
  engine_options.prepare_thread = &make_compute_threads;
  auto engine = make_engine(std::move(models), engine_options);
  auto server = make_http_server(*engine, server_options);
  const int port = server->bind();
  log_startup(default_model, others, options.server.host, port);
  notify_service_manager("READY=1");
  const Watchdog watchdog(*engine, options.exit_on_stall);

  std::thread shutdown([&] { await_shutdown(*engine, *server, options.drain_timeout_s); });
  server->run();
  shutdown.join();
  log::info("bye");
  return 0;
}

}  // namespace easel
