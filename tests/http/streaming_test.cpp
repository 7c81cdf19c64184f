// Responses as streams of events, as clients see them.
#include <gtest/gtest.h>

#include <ctime>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image_file.h"
#include "http/openai/streaming/event_writer.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;

constexpr char kStream[] = R"({"prompt":"a cat","seed":5,"stream":true,"partial_images":3})";

struct Event {
  std::string type;  ///< of the line `event:`; empty for a comment
  nlohmann::json data;
};

// One event is one chunk, with exactly the lines that every SDK's parser reads.
std::optional<Event> read_event(RawClient& client) {
  const auto chunk = client.read_chunk();
  if (!chunk) return std::nullopt;
  if (chunk->starts_with(":")) return Event{};
  const auto line_end = chunk->find('\n');
  EXPECT_TRUE(chunk->starts_with("event: ") && chunk->ends_with("\n\n")) << *chunk;
  const auto data = chunk->substr(line_end + 1, chunk->size() - line_end - 3);
  EXPECT_TRUE(data.starts_with("data: ") && data.find('\n') == std::string::npos) << data;
  Event event{.type = chunk->substr(7, line_end - 7), .data = nlohmann::json::parse(data.substr(6))};
  EXPECT_EQ(event.data["type"], event.type);
  return event;
}

ProgressEvent step(std::int64_t done, bool with_preview = true) {
  ProgressEvent event{.kind = ProgressEvent::Kind::kStep, .progress = {done, 8}};
  if (with_preview) event.preview = Image{.width = 3, .height = 2, .pixels = std::vector<std::uint8_t>(18, 100)};
  return event;
}

// Asks for a stream while the engine holds its jobs, and waits until the request is there.
void begin(RunningServer& server, RawClient& client, const std::string& request) {
  const auto before = server.engine.requests().size();
  client.send(request);
  ASSERT_TRUE(eventually([&] { return server.engine.requests().size() > before; }));
}

TEST(Streaming, TheCompletedEventHasTheImage) {
  const RunningServer server;
  RawClient client(server.port);
  client.send(image_request(R"({"prompt":"a cat","seed":5,"stream":true,"quality":"low","size":"40x20"})"));
  const auto head = client.read();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(head.header("cache-control"), "no-cache");
  EXPECT_EQ(head.header("x-accel-buffering"), "no");
  EXPECT_EQ(head.header("transfer-encoding"), "chunked");
  EXPECT_FALSE(head.has("content-length"));
  EXPECT_NE(head.header("x-request-id"), "");
  const auto event = read_event(client);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, "image_generation.completed");
  EXPECT_EQ(event->data["b64_json"], base64_encode(encode_png(fake_image(server.engine.requests().at(0), 0).image)));
  EXPECT_NEAR(event->data["created_at"].get<double>(), std::time(nullptr), 5);
  EXPECT_EQ(event->data["size"], "40x20");
  EXPECT_EQ(event->data["quality"], "low");
  EXPECT_EQ(event->data["background"], "opaque");
  EXPECT_EQ(event->data["output_format"], "png");
  EXPECT_FALSE(event->data.contains("error")) << "some clients take any for a failure";
  EXPECT_FALSE(read_event(client)) << "nothing follows";
  EXPECT_EQ(client.exchange(image_request(R"({"prompt":"a cat"})")).status, 200) << "the connection goes on";
}

TEST(Streaming, PartialImagesHaveTheSizeAskedFor) {
  RunningServer server;
  server.engine.hold(true);
  RawClient client(server.port);
  begin(server, client, image_request(R"({"prompt":"a cat","stream":true,"partial_images":2,"size":"30x20"})"));
  EXPECT_EQ(server.engine.last_options().preview_count, 2);
  for (int index = 0; index < 2; ++index) {
    server.engine.report(step(3 * index + 2));
    if (index == 0) {
      EXPECT_EQ(client.read().status, 200);
    }
    const auto event = read_event(client);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->type, "image_generation.partial_image");
    EXPECT_EQ(event->data["partial_image_index"], index);
    EXPECT_EQ(event->data["size"], "30x20");
    EXPECT_EQ(event->data.size(), 8u) << event->data;
    const auto image = decode_image(*base64_decode(event->data["b64_json"].get<std::string>())).image;
    EXPECT_EQ(image.width, 30);
    EXPECT_EQ(image.height, 20);
    EXPECT_EQ(image.pixels.front(), 100);
  }
  server.engine.hold(false);
  EXPECT_EQ(read_event(client).value().type, "image_generation.completed");
  EXPECT_FALSE(read_event(client));
}

TEST(Streaming, ProgressIsToldOnlyWhenAskedFor) {
  for (const bool by_header : {false, true}) {
    RunningServer server;
    server.engine.hold(true);
    server.engine.set_position({.ahead = 2, .wait_seconds = 1.5});
    RawClient client(server.port);
    begin(server, client,
          image_request(concat(R"({"prompt":"a cat","stream":true,"progress":)", by_header ? "null" : "true", "}"),
                        by_header ? Fields{{"x-easel-progress", "1"}} : Fields{}));
    server.engine.report(step(3, /*with_preview=*/false));
    EXPECT_EQ(client.read().status, 200);
    const auto event = read_event(client);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->type, "image_generation.progress");
    EXPECT_EQ(event->data, nlohmann::json::parse(R"({"type":"image_generation.progress","queue_position":2,"step":3,
                                                     "steps":8,"seconds_left":1.5})"));
    server.engine.hold(false);
    EXPECT_EQ(read_event(client).value().type, "image_generation.completed");
  }
  RunningServer server;
  server.engine.hold(true);
  RawClient client(server.port);
  begin(server, client, image_request(kStream));
  server.engine.report(step(3, /*with_preview=*/false));
  EXPECT_EQ(client.read().status, 200);
  server.engine.hold(false);
  EXPECT_EQ(read_event(client).value().type, "image_generation.completed");
}

TEST(Streaming, BadRequestsAreRefusedBeforeTheStream) {
  const RunningServer server;
  const std::pair<std::string, std::string> bad[] = {
      {R"({"prompt":"a","stream":true,"n":2})", "n"},
      {R"({"prompt":"a","stream":"yes"})", "stream"},
      {R"({"prompt":"a","stream":1})", "stream"},
      {R"({"prompt":"a","stream":true,"partial_images":4})", "partial_images"},
      {R"({"prompt":"a","stream":true,"partial_images":-1})", "partial_images"},
      {R"({"prompt":"a","stream":true,"progress":1})", "progress"},
      {R"({"stream":true})", "prompt"},
      {R"({"prompt":"a","stream":true,"size":"9"})", "size"},
  };
  for (const auto& [body, param] : bad) {
    const auto response = server.draw(body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.header("content-type"), "application/json; charset=utf-8") << body;
    EXPECT_EQ(response.json()["error"]["param"], param) << response.body;
  }
  EXPECT_EQ(server.draw(R"({"prompt":"a","stream":true})", {{"x-easel-progress", "maybe"}}).status, 400);
  EXPECT_EQ(server.draw(R"({"prompt":"a","stream":null,"n":2})").status, 200) << "null is absent";
  EXPECT_EQ(server.draw(R"({"prompt":"a","stream":false,"n":2,"partial_images":2})").status, 200);
}

TEST(Streaming, FailuresBeforeTheFirstStepHaveTheirStatus) {
  RunningServer server;
  server.engine.fail_generation(Error(ErrorCode::kInvalidArgument, "there is no adapter \"ink\"", "loras"));
  const auto refused = server.draw(kStream);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "loras");
  server.engine.fail_generation(std::nullopt);
  server.engine.fail_submit(Error(ErrorCode::kResourceExhausted, "full"));
  EXPECT_EQ(server.draw(kStream).status, 429);
}

TEST(Streaming, LaterFailuresAreAnEvent) {
  RunningServer server;
  server.engine.hold(true);
  server.engine.fail_generation(Error(ErrorCode::kResourceExhausted, "out of memory"));
  RawClient client(server.port);
  begin(server, client, image_request(kStream));
  server.engine.report(step(2));
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(read_event(client).value().type, "image_generation.partial_image");
  server.engine.hold(false);
  const auto event = read_event(client);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, "error");
  EXPECT_EQ(event->data["error"]["type"], "server_error");
  EXPECT_EQ(event->data["error"]["code"], "image_generation_failed");
  EXPECT_EQ(event->data["error"]["message"], "out of memory");
  EXPECT_TRUE(event->data["error"]["param"].is_null());
  EXPECT_FALSE(read_event(client)) << "the stream ends cleanly";
  EXPECT_NE(server.get("/metrics")
                .body.find(R"(easel_http_requests_total{method="POST",route="/v1/images/generations",status="500"} 1)"),
            std::string::npos)
      << "the failure is counted, though the status on the wire is 200";
}

TEST(Streaming, EditsHaveTypesOfTheirOwn) {
  const RunningServer server;
  const auto image =
      base64_encode(encode_png(Image{.width = 24, .height = 16, .pixels = std::vector<std::uint8_t>(24 * 16 * 3, 9)}));
  RawClient client(server.port);
  client.send(request_text("POST", "/v1/images/edits",
                           concat(R"({"prompt":"a cat","stream":true,"image":")", image, "\"}"),
                           {{"Content-Type", "application/json"}}));
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(read_event(client).value().type, "image_edit.completed");
}

TEST(Streaming, AClientThatLeavesAtAnyEventFreesItsPlace) {
  for (int events = 0; events < 4; ++events) {
    for (const bool abruptly : {false, true}) {
      RunningServer server;
      server.engine.hold(true);
      RawClient client(server.port);
      begin(server, client, image_request(kStream));
      for (int i = 0; i < events; ++i) {
        server.engine.report(step(2 * i + 1));
        if (i == 0) client.read();
        EXPECT_TRUE(read_event(client));
      }
      abruptly ? client.reset() : client.close();
      EXPECT_TRUE(eventually([&] { return server.engine.cancelled() == 1; })) << events << abruptly;
      EXPECT_TRUE(eventually([&] {
        return server.get("/metrics").body.find(R"(route="/v1/images/generations",status="499"} 1)") !=
               std::string::npos;
      }));
      server.engine.hold(false);
      EXPECT_EQ(server.draw(R"({"prompt":"a cat"})").status, 200);
    }
  }
}

TEST(Streaming, AClientThatOnlyEndedItsSendingGetsItsStream) {
  RunningServer server;
  server.engine.hold(true);
  RawClient client(server.port);
  begin(server, client, image_request(kStream));
  client.end_sending();
  server.engine.report(step(1));
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(read_event(client).value().type, "image_generation.partial_image");
  EXPECT_EQ(read_event(client).value().type, "") << "a comment, to find out whether it is still there";
  server.engine.hold(false);
  std::optional<Event> event;
  while ((event = read_event(client)) && event->type.empty()) {
  }
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, "image_generation.completed");
}

TEST(Streaming, Http10ClientsGetTheStreamUpToTheEndOfTheConnection) {
  const RunningServer server;
  RawClient client(server.port);
  const std::string body = R"({"prompt":"a cat","stream":true})";
  client.send(concat("POST /v1/images/generations HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: ", body.size(),
                     "\r\n\r\n", body));
  const auto head = client.read();
  EXPECT_EQ(head.status, 200);
  EXPECT_FALSE(head.has("transfer-encoding"));
  EXPECT_EQ(head.header("connection"), "close");
  const auto rest = client.read_to_end();
  EXPECT_TRUE(rest.starts_with("event: image_generation.completed\ndata: {")) << rest;
  EXPECT_TRUE(rest.ends_with("}\n\n"));
}

TEST(Streaming, ManyStreamsAtOnce) {
  constexpr std::size_t kStreams = 200;
  RunningServer server({.max_waiting = kStreams});
  server.engine.hold(true);
  std::deque<RawClient> clients;
  for (std::size_t i = 0; i < kStreams; ++i) {
    clients.emplace_back(server.port).send(image_request(concat(R"({"prompt":"a cat","stream":true,"seed":)", i, "}")));
  }
  ASSERT_TRUE(eventually([&] { return server.engine.requests().size() == kStreams; }));
  EXPECT_EQ(server.draw(kStream).status, 429) << "no place is left";
  EXPECT_EQ(server.get("/health").status, 200) << "but a thread is";
  for (auto& client : clients) EXPECT_EQ(client.read().status, 200);
  server.engine.hold(false);
  for (std::size_t i = 0; i < kStreams; ++i) {
    const auto event = read_event(clients[i]);
    ASSERT_TRUE(event) << i;
    EXPECT_EQ(event->data["seed"], i);
    EXPECT_FALSE(read_event(clients[i]));
  }
  EXPECT_EQ(server.draw(R"({"prompt":"a cat"})").status, 200) << "every place is free again";
}

// The body of a streamed response, kept.
class WrittenBody : public http::BodyWriter {
 public:
  bool write(std::string_view bytes) override {
    text += bytes;
    return !left;
  }
  bool gone() override { return left; }
  bool ended_sending() override { return silent; }

  std::string text;
  bool left = false;
  bool silent = false;
};

TEST(EventWriter, KeepsSilentConnectionsAwakeWithComments) {
  WrittenBody body;
  http::EventWriter events(body, 20ms);
  EXPECT_TRUE(events.keep_alive());
  EXPECT_EQ(body.text, "") << "too early";
  std::this_thread::sleep_for(25ms);
  EXPECT_TRUE(events.keep_alive());
  EXPECT_EQ(body.text, ":\n\n");
  EXPECT_TRUE(events.send("image_edit.completed", R"("a":1)"));
  EXPECT_EQ(body.text, ":\n\nevent: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",\"a\":1}\n\n");
  body.left = true;
  EXPECT_FALSE(events.keep_alive());
  EXPECT_FALSE(events.send("a", "\"b\":1"));
}

}  // namespace
}  // namespace easel::test
