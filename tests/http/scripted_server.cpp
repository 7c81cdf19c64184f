// The HTTP server in front of a scripted engine, for tools that send what a description of the API allows. Prints
// "port N" once it serves, and exits when its standard input ends. Its arguments are API keys.
#include <cstdio>
#include <thread>

#include "core/log.h"
#include "easel/server.h"
#include "http/support/scripted_engine.h"

int main(int count, char** arguments) {
  easel::log::set_level(easel::log::Level::kWarning);
  auto upscaler = easel::test::tiny_model("x2");
  upscaler.upscale_factor = 2;
  upscaler.needs_image = true;
  easel::test::ScriptedEngine engine({easel::test::tiny_model("tiny"), upscaler});
  easel::ServerOptions options{.port = 0, .local_operator = true, .max_edge = 128, .max_pixels = 128 * 128};
  options.api_keys.assign(arguments + 1, arguments + count);
  options.list_adapters = [] {
    return std::vector<easel::AdapterDescription>{{.name = "ink", .family = "stable-diffusion", .bytes = 1}};
  };
  const auto server = easel::make_http_server(engine, std::move(options));
  std::printf("port %d\n", server->bind());
  std::fflush(stdout);
  std::thread serving([&] { server->run(); });
  while (std::getchar() != EOF) {
  }
  server->stop();
  serving.join();
}
