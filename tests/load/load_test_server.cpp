// The HTTP server on the real engine with two fake pipelines: a fast target for load tests. Prints "port N" once it
// serves, and exits when its standard input ends.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "core/log.h"
#include "easel/server.h"
#include "support/fake_pipeline.h"

int main() {
  using namespace std::chrono_literals;
  using easel::testing::served_fake;
  easel::log::set_level(easel::log::Level::kWarning);
  const auto metrics = easel::make_metrics("test");
  std::vector<easel::ServedModel> models;
  for (const char* id : {"a", "b"}) {
    auto description = easel::testing::fake_description(id);
    models.push_back(served_fake({.description = description,
                                  .load_time = 20ms,
                                  .begin_time = 500us,
                                  .step_time = 300us,
                                  .finish_time = 500us}));
  }
  const auto engine = easel::make_engine(std::move(models), {.max_waiting = 32, .observer = metrics});
  const auto server =
      easel::make_http_server(*engine, {.port = 0, .local_operator = true, .max_waiting = 32, .metrics = metrics});
  std::printf("port %d\n", server->bind());
  std::fflush(stdout);
  std::thread serving([&] { server->run(); });
  while (std::getchar() != EOF) {
  }
  server->begin_shutdown();
  engine->drain(10s);
  server->stop();
  serving.join();
}
