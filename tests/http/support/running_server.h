// A real server on a free port of loopback, in front of a scripted engine.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "http/http_server.h"
#include "http/support/raw_client.h"
#include "http/support/scripted_engine.h"

namespace easel::test {

/// A request for an image that every scripted engine accepts.
inline constexpr char kImageBody[] = R"({"prompt":"a cat","seed":5})";

class RunningServer {
 public:
  explicit RunningServer(ServerOptions options = {}, const http::ConnectionTimeouts& timeouts = {},
                         std::vector<ModelDescription> models = {tiny_model("tiny")})
      : engine(std::move(models)) {
    options.port = 0;
    server = http::make_http_server(engine, std::move(options), timeouts);
    port = server->bind();
    thread_ = std::thread([this] { server->run(); });
  }
  ~RunningServer() {
    engine.hold(false);
    stop();
  }
  void stop() {
    server->stop();
    if (thread_.joinable()) thread_.join();
  }

  /// One request on a connection of its own.
  Response ask(std::string_view request) const { return RawClient(port).exchange(request); }
  Response get(const std::string& target, const Fields& fields = {}) const {
    return ask(request_text("GET", target, "", fields));
  }
  Response draw(const std::string& body, const Fields& fields = {}) const { return ask(image_request(body, fields)); }

  ScriptedEngine engine;
  std::unique_ptr<HttpServer> server;
  int port = 0;

 private:
  std::thread thread_;
};

/// OpenAI's error object of a response, empty where there is none.
inline nlohmann::json error_of(const Response& response) {
  return response.json().value("error", nlohmann::json::object());
}

/// A server of the model `x2`, which doubles the size of images, after `tiny`.
inline RunningServer server_with_upscaler() {
  auto upscaler = tiny_model("x2");
  upscaler.upscale_factor = 2;
  return RunningServer({}, {}, {tiny_model("tiny"), upscaler});
}

/// Waits for a condition that another thread brings about. False after 20 s.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace easel::test
