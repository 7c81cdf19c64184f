// The HTTP server: OpenAI's Images API in front of an engine.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "easel/engine.h"
#include "easel/image_metadata.h"
#include "easel/model_library.h"
#include "easel/observer.h"

namespace easel {

/// What GET /metrics shows. The same object is given to the engine, as its observer, and to the server.
///
/// make_metrics() returns the implementation that easel itself uses; another one may take its place. Thread-safe: all
/// methods are called from many threads at once.
class ServerMetrics : public EngineObserver {
 public:
  /// Counts one finished HTTP request.
  /// @param route    name of the route, e.g. "/v1/models/{id}"; empty: the path is unknown, or it does not take the
  ///                 method, or the request could not be read
  /// @param method   as the client sent it: any token of up to 32 bytes, or empty
  /// @param status   of the response; 499 when the client left before it
  /// @param seconds  from the request's head to its response
  virtual void count_request(std::string_view route, std::string_view method, int status, double seconds) = 0;

  /// The body of GET /metrics: all metrics in the Prometheus text format 0.0.4.
  virtual std::string text() = 0;
};

/// The memory of a device at one moment, in bytes. Of the host, only what is free and the total are known.
struct DeviceMemory {
  std::string device{};            ///< "cpu": the host's
  std::int64_t allocated = 0;      ///< by tensors
  std::int64_t reserved = 0;       ///< by the allocator: allocated, or kept for future tensors
  std::int64_t free = 0;           ///< that no program has
  std::int64_t total = 0;          ///< of the device
  std::int64_t out_of_memory = 0;  ///< allocations that failed since the start
  std::int64_t retries = 0;        ///< allocations that succeeded only after the allocator gave back what it kept
};

/// Counts from zero. Every label value comes from a fixed list, from the models served or from the statuses that easel
/// sends: no client can add a time series.
/// @param version  of the program; the label of easel_build_info
/// @param device_memory  called for each text(), from any thread; empty: there are no GPUs
std::shared_ptr<ServerMetrics> make_metrics(const std::string& version,
                                            std::function<std::vector<DeviceMemory>()> device_memory = {});

/// A model that is downloaded before the server can generate images. Thread-safe: one thread writes, others read.
struct PendingDownload {
  std::string model;                         ///< as it was asked for; does not change
  std::atomic<std::uint64_t> done_bytes{0};  ///< downloaded so far
  std::atomic<std::uint64_t> total_bytes{0};
  std::atomic<bool> finished{false};
};

/// A word that stands for learned embeddings.
struct LearnedWord {
  std::string word;
  std::int64_t vectors = 0;  ///< that it stands for
  std::int64_t width = 0;    ///< numbers of each vector
};

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< name or address to listen on
  int port = 9225;                 ///< 0: any free port
  /// Keys that clients may send. Without any, and without `api_keys_file`, no key is asked for.
  std::vector<std::string> api_keys = {};
  std::string api_keys_file = {};  ///< JSON with hashed keys, their names and limits; read again when it changes
  /// Further names of served models, with the ids that they stand for.
  std::vector<std::pair<std::string, std::string>> aliases = {};
  bool list_aliases = false;  ///< GET /v1/models lists the aliases, too
  /// Web origins whose pages may call, e.g. "https://chat.example"; "*" for all.
  std::vector<std::string> allowed_origins = {};
  /// Names by which clients may call a server without keys, in addition to IP addresses and local names.
  std::vector<std::string> allowed_hosts = {};
  /// Addresses, or blocks of addresses like 10.0.0.0/8, of reverse proxies: X-Forwarded-For, -Proto and -Host of
  /// requests from there say who the client is.
  std::vector<std::string> trusted_proxies = {};
  /// Without keys, clients on the server's own machine may load and unload models and set priorities.
  bool local_operator = false;
  std::size_t max_body_bytes = 1u << 20;        ///< of a JSON body without its images, and of a form's text parts
  std::size_t max_image_bytes = 20u << 20;      ///< of one uploaded file; an edit has up to 16 images and a mask
  std::size_t max_upload_bytes = 128u << 20;    ///< of all files of one request
  std::size_t upload_memory = 512u << 20;       ///< of the bodies of all requests that are being received or decoded,
                                                ///< and the same again of the decoded images of all requests
  std::int64_t max_image_pixels = 8000 * 8000;  ///< of an uploaded image, width times height
  std::int64_t max_images = 10;                 ///< of one request: the largest `n`
  int min_edge = 16;                            ///< pixels of a generated image's shorter edge, at least
  int max_edge = 2048;                          ///< pixels of its longer edge, at most
  std::int64_t max_pixels = 2048 * 2048;        ///< of a generated image, width times height
  std::int64_t max_steps = 250;
  std::size_t max_prompt_chars = 32000;  ///< Unicode code points
  /// Image requests that may wait or run at a time; the server has always more threads than that.
  std::size_t max_waiting = 64;
  /// Longest time from acceptance to the response; a request may ask for less. None: no limit.
  std::optional<std::chrono::milliseconds> request_timeout = {};
  /// The head of a response that takes longer is sent before its images are finished; 0: never. Some clients give up
  /// when they have seen no head for five minutes.
  std::chrono::milliseconds early_headers_after{240'000};
  std::size_t image_store_bytes = 256u << 20;      ///< memory for images that responses link to
  std::chrono::seconds image_store_seconds{3600};  ///< how long such an image is kept
  /// Scheme and authority of links to images, e.g. "https://images.example"; empty: as the request's Host has them.
  std::string public_url = {};
  bool opaque_instead_of_transparent = false;  ///< requests for a transparent background get an opaque one
  MetadataOptions metadata = {};               ///< of the images that are sent
  bool strict = false;                         ///< fields that would be ignored are errors, as with `strict: true`
  /// The adapters that requests may select, at the moment of the call; null: there are none. Called from many threads.
  std::function<std::vector<AdapterDescription>()> list_adapters = {};
  // The next four are called from many threads, and may be null.
  std::function<std::vector<LearnedWord>()> list_words = {};    ///< of the folder of embeddings, as it is now
  std::function<std::vector<DeviceMemory>()> read_memory = {};  ///< of the host and of the devices
  std::function<void()> refresh_models = {};                    ///< looks for new models soon; returns at once
  std::vector<std::string> autoencoders = {};  ///< names of the files that replace the models' own, without folders
  /// SubmitOptions::queue_timeout of image requests. None: no limit.
  std::optional<std::chrono::milliseconds> queue_timeout = {};
  /// Until it is finished /ready reports its progress and image requests get 503. Null: nothing is downloaded.
  std::shared_ptr<const PendingDownload> download = {};
  /// Where operators bring models and remove them. Null: the server searches no folder for models.
  std::shared_ptr<ModelLibrary> model_library = {};
  std::string version = {};                     ///< shown by GET /v1/
  std::shared_ptr<ServerMetrics> metrics = {};  ///< null: the server counts HTTP requests only, for itself
};

/// Serves an engine over HTTP. Call bind(), then run() on one thread. stop() and begin_shutdown() may be called from
/// any thread, but not from a signal handler.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  /// Takes the address and starts the threads that will serve.
  /// @return the port listened on
  /// @throws Error(kUnavailable)  the address cannot be taken, e.g. because the port is in use, or the system gives no
  ///                              more threads
  virtual int bind() = 0;
  /// Serves until stop() is called and the responses under way have been written.
  virtual void run() = 0;
  /// New image requests and /ready get 503 from now on. Images that were accepted are finished.
  virtual void begin_shutdown() = 0;
  /// Ends run().
  virtual void stop() = 0;
};

/// @param engine  must outlive the server
/// @throws Error  an option is not valid, e.g. an empty API key, or the key file cannot be read
std::unique_ptr<HttpServer> make_http_server(Engine& engine, ServerOptions options);

}  // namespace easel
