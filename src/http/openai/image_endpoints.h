// The image routes: from a body to images, watching meanwhile whether the client is still there.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/openai/delivery.h"
#include "http/openai/request_record.h"
#include "http/openai/requests/decoding_places.h"
#include "http/openai/requests/image_memory.h"
#include "http/openai/requests/image_upload.h"
#include "http/openai/requests/openai_images.h"
#include "http/openai/responses/image_result.h"
#include "http/openai/responses/image_store.h"
#include "http/transport/client.h"
#include "http/transport/message.h"
#include "http/transport/request_head.h"
#include "http/transport/upload_memory.h"

namespace easel::http {

/// Thread-safe. What it is made of must outlive it.
class ImageEndpoints {
 public:
  /// @throws Error(kInvalidArgument)  ServerOptions::upload_memory is too small for one body
  ImageEndpoints(Engine& engine, const ServerOptions& options, ImageStore& store, KeptRequests& kept,
                 const std::atomic<bool>& shutting_down);

  /// Generates what the request asks for. Blocks until the images are finished, or until a stream of events begins; a
  /// client that leaves cancels them.
  /// @param default_model  the model of a body that names none; empty: the engine's first
  /// @param record         receives the log fields of the generation, once the body has been read
  /// @return none when the client has left
  /// @throws HttpFailure, ProtocolError; 503 once the server shuts down
  std::optional<Response> handle(ImageTask task, const RequestHead& head, const std::string& default_model,
                                 Client& client, RequestRecord& record);

  /// @throws HttpFailure  503: the server shuts down; 415: the body of the request is compressed
  void check_accepting(const RequestHead& head) const;

  /// Reads and checks a request whose body was received, and takes a place for it.
  /// @param headers  for the options of the request, such as its timeout
  /// @throws HttpFailure  400: it is not valid; 429: no place is free
  PreparedRequest prepare(ImageTask task, const ImageUpload& body, const Headers& headers,
                          const std::string& default_model, RequestRecord& record);

  /// Calls `read` with a client whose body takes its place in ServerOptions::upload_memory. The place is given back
  /// when `read` returns, so `read` must keep neither the body nor the files in it.
  template <class Read>
  auto with_upload_memory(const RequestHead& head, Client& client, const RequestRecord& record, const Read& read) {
    BudgetedClient budgeted(client, head, upload_memory_, record.principal.account);
    return read(budgeted);
  }

  /// The server ends: bodies that wait for memory are not waited for.
  void begin_shutdown() {
    upload_memory_.end_waiting();
    image_memory_.end_waiting();
  }

  /// Calls `decode`, which decodes uploaded images, when one of the places for that is free. Not to be nested.
  template <class Decode>
  auto with_decoding_place(const Decode& decode) {
    return decoding_.use(decode);
  }

  /// Decodes the images of a request within the bound on the memory of all decoded images, which is as large as
  /// ServerOptions::upload_memory.
  /// @param decode  returns the bytes of the pixels; is called a second time if the memory had to be waited for
  /// @param drop    frees them before the wait
  /// @return what the images must be kept with
  /// @throws HttpFailure  429: there was no memory within the time; and what `decode` throws
  ImageMemory::Place decode_within_memory(const std::string& account, const std::function<std::size_t()>& decode,
                                          const std::function<void()>& drop);

  /// GET /v1/images/files/{name}: an image that a response linked to.
  /// @param name  the image's id with the ending of its format
  /// @throws HttpFailure(404)  there is no such image, or no longer
  Response file(const std::string& name) const;

 private:
  ImageUpload read_body(ImageTask task, const RequestHead& head, Client& client) const;
  ImageRequest read_request(ImageTask task, const ImageUpload& upload, const std::string& default_model,
                            const std::string& account);
  Engine& engine_;
  const ServerOptions& options_;
  ImageStore& store_;
  KeptRequests& kept_;
  const std::atomic<bool>& shutting_down_;
  UploadMemory upload_memory_;
  ImageMemory image_memory_;
  DecodingPlaces decoding_;
  std::atomic<std::size_t> in_flight_ = 0;  // requests between submit and their end
};

}  // namespace easel::http
