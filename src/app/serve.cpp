// easel serve: starts the engine and the HTTP server, and shuts them down in order.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/command_line/commands.h"
#include "app/command_line/format.h"
#include "app/compute_threads.h"
#include "app/late_engine.h"
#include "app/metadata_options.h"
#include "app/models/last_use.h"
#include "app/models/model_list.h"
#include "app/models/model_watch.h"
#include "app/models/pulled_models.h"
#include "app/models/startup_download.h"
#include "app/server_state.h"
#include "app/service_manager.h"
#include "app/watchdog.h"
#include "core/background_log.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/server.h"
#include "http/transport/address.h"
#include "tensor/free_memory.h"
#include "tensor/placement.h"
#include "tensor/try_device.h"

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

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

/// A terminal that is closed sends SIGHUP, which nohup makes the program ignore.
sigset_t shutdown_signals() {
  struct sigaction hangup{};
  sigaction(SIGHUP, nullptr, &hangup);
  return hangup.sa_handler == SIG_IGN ? set_of({SIGTERM, SIGINT}) : set_of({SIGTERM, SIGINT, SIGHUP});
}

/// Waits for a signal that ends the server, then lets accepted requests finish within the drain timeout. A second
/// signal ends the process at once, unless it is SIGHUP: a terminal and its shell both send that one.
void await_shutdown(Engine& engine, HttpServer& server, double drain_timeout_s) {
  const sigset_t signals = shutdown_signals();
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("shutting down: accepted requests are finished, new ones are refused",
            {{"drain_timeout", drain_timeout_s}});
  notify_service_manager("STOPPING=1");
  server.begin_shutdown();
  std::thread([] {
    const sigset_t end_now = set_of({SIGTERM, SIGINT});
    int second = 0;
    sigwait(&end_now, &second);
    _exit(130);
  }).detach();
  using std::chrono::milliseconds;
  const auto timeout =
      drain_timeout_s > 0 ? milliseconds(static_cast<std::int64_t>(drain_timeout_s * 1000)) : milliseconds::max();
  if (!engine.drain(timeout)) log::warning("the drain timeout has expired; unfinished requests were aborted");
  server.stop();
}

void log_startup(const ModelList& models, const std::string& host, int port) {
  const auto& model = models.front();
  const auto others = models.size() - 1;
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

/// @return notices models that are added, replaced or removed from now on; null if the server shuts down already
/// @throws Error  as find_models(), list_models() and make_engine()
std::unique_ptr<ModelWatch> start_engine(const Options& options, const std::shared_ptr<ServerMetrics>& metrics,
                                         LateEngine& engine) {
  auto engine_options = options.engine;
  engine_options.devices = list_devices(options.model);
  engine_options.observer = metrics;
  for (const auto& name : engine_options.devices) {
    const auto device = make_placement(name, "auto").device;
    try_device(device);
    const auto budget = default_memory_budget(device);
    if (!options.memory_budget_given && budget > 0) engine_options.estimated_memory_budgets[name] = budget;
  }
  engine_options.prepare_thread = &make_compute_threads;
  const auto found = find_models(options.model);
  const auto failed_loads = std::make_shared<FailedLoads>();
  std::vector<ServedModel> models;
  for (auto& model : on_own_thread([&] { return list_models(options.model, found); })) {
    note_requests(model);
    load_on_own_thread(model);
    const auto path = model.description.folder;
    models.push_back(failed_loads->watched(std::move(model), path));
  }
  if (!engine.set(make_engine(std::move(models), engine_options))) return nullptr;
  auto actions = watch_actions(options.model);
  actions.open = [open = std::move(actions.open)](const WatchedModel& added) {
    auto model = on_own_thread([&] { return open(added); });
    load_on_own_thread(model);
    return model;
  };
  auto watch = std::make_unique<ModelWatch>(engine, std::move(actions), found.all(), failed_loads);
  watch->start();
  return watch;
}

/// Downloads the models and starts the engine. A failure ends the server in the same way as a signal from outside.
/// @throws Error  as download_models() and start_engine(); nothing where the server shuts down meanwhile
std::unique_ptr<ModelWatch> start_after_download(const Options& options, const std::vector<std::string>& names,
                                                 PendingDownload& download,
                                                 const std::shared_ptr<ServerMetrics>& metrics, LateEngine& engine) {
  try {
    download_models(options, names, download, [&] { return engine.is_draining(); });
    auto watch = start_engine(options, metrics, engine);
    download.finished = !engine.is_draining();
    return watch;
  } catch (const Error&) {
    if (engine.is_draining()) return nullptr;
    kill(getpid(), SIGTERM);
    throw;
  }
}

/// @throws Error  why the download failed
void finish_download(std::future<void>& downloading) {
  constexpr std::chrono::seconds kTimeout{2};
  if (downloading.wait_for(kTimeout) == std::future_status::timeout) {
    // It waits for its server. It can be ended at any moment, because the next download continues it.
    log::info("bye; the download is not complete");
    _exit(0);
  }
  downloading.get();
}

/// What cleans up waits for the threads of devices and of models. Where one is in a call that does not return, the
/// process ends without it: at once for a device that is lost or has not finished its work within the drain timeout,
/// and after a timeout for what shows only then, such as a model on a mount that does not respond.
void end_without_waiting(const Engine& engine) {
  const bool lost = engine.all_devices_lost();
  if (lost || !engine.at_rest()) {
    log::error(lost ? "bye; no device works any more"
                    : "bye; a device does not return from its work, which is given up");
    log::flush_background();
    _exit(1);
  }
  std::thread([] {
    constexpr std::chrono::seconds kTimeout{5};
    std::this_thread::sleep_for(kTimeout);
    log::warning("bye; a model that is being loaded, or a device, does not return");
    log::flush_background();
    _exit(0);
  }).detach();
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
  if (options.model.tf32 == "off") allow_tf32(false);

  warn_about_access(options.server);
  const auto names = names_to_pull(options.model);
  auto server_options = options.server;
  server_options.metadata = metadata_options(options);
  server_options.metrics = make_metrics(server_options.version, memory_of_gpus(list_devices(options.model)));
  describe_machine(options, list_devices(options.model), server_options);
  const auto watching = std::make_shared<std::atomic<ModelWatch*>>(nullptr);
  server_options.refresh_models = [watching] {
    if (auto* const watch = watching->load()) watch->look_soon();
  };
  server_options.model_library = make_model_library(options);
  const auto download = std::make_shared<PendingDownload>();
  download->model = names.empty() ? "" : names.front();
  if (!names.empty()) server_options.download = download;
  LateEngine engine(download->model);
  std::unique_ptr<ModelWatch> watch;
  if (names.empty()) watch = start_engine(options, server_options.metrics, engine);
  *watching = watch.get();
  auto server = make_http_server(engine, server_options);
  const int port = server->bind();
  if (names.empty()) log_startup(engine.models(), options.server.host, port);
  notify_service_manager("READY=1");
  const Watchdog watchdog(engine, options.exit_on_stall);

  std::thread shutdown([&] { await_shutdown(engine, *server, options.drain_timeout_s); });
  std::future<void> downloading;
  if (!names.empty()) {
    log::info(concat("listening on http://", url_host(options.server.host), ":", port, " while models are downloaded"));
    downloading = std::async(std::launch::async, [&] {
      watch = start_after_download(options, names, *download, server_options.metrics, engine);
      *watching = watch.get();
      if (download->finished) log_startup(engine.models(), options.server.host, port);
    });
  }
  server->run();
  shutdown.join();
  if (downloading.valid()) finish_download(downloading);
  end_without_waiting(engine);
  log::info("bye");
  return 0;
}

}  // namespace easel
