// Opens a checkpoint, generates one image on the CPU and writes it as a PNG file.
#include <easel/engine.h>
#include <easel/image.h>
#include <easel/model.h>

#include <fstream>
#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 4) throw easel::Error(easel::ErrorCode::kInvalidArgument, "usage: generate CHECKPOINT PROMPT OUTPUT.png");
  std::vector<easel::ServedModel> models = {easel::open_model(argv[1])};
  easel::GenerationRequest request;
  request.model = models[0].description.id;
  request.prompt = argv[2];
  request.seed = 1;
  const auto engine = easel::make_engine(std::move(models), {.devices = {"cpu"}});
  const auto images = engine->submit(std::move(request))->take();
  std::ofstream(argv[3], std::ios::binary) << easel::encode_png(images[0].image);
  return 0;
} catch (const easel::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
