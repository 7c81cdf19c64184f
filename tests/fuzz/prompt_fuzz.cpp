// Fuzzes prompts: weights in brackets, and adapters between angle brackets, as AUTOMATIC1111's web UI has them.
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>

#include "adapters/prompt_adapters.h"
#include "easel/error.h"
#include "easel/generation.h"
#include "fuzz_target.h"
#include "tokenizers/prompt_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view prompt(reinterpret_cast<const char*>(data), size);
  const auto parts = easel::parse_weighted_prompt(prompt);
  if (parts.empty()) std::abort();
  for (const auto& part : parts) {
    if (!(std::abs(part.weight) <= easel::kMaxPromptWeight)) std::abort();
  }
  easel::GenerationRequest request;
  request.prompt = std::string(prompt);
  try {
    const auto read = easel::with_prompt_adapters(request);
    if (read.prompt.size() > request.prompt.size()) std::abort();
    // What was removed from the prompt is a selection each; names and weights are checked where adapters are looked up.
    if (read.loras.empty() != (read.prompt.size() == request.prompt.size())) std::abort();
  } catch (const easel::Error& error) {
    if (error.code() != easel::ErrorCode::kInvalidArgument || error.param() != "prompt") std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  return {"a (red:1.3) [apple] BREAK ((on)) a \\(table\\)", "(a:-1e3) (b: +.5 ) [c:2] (d", "]) ( [ \\",
          "a cat <lora:ink:0.5> <lyco:x:te=0.1:unet=1> <lora:a/b:1:2>, <lora:> <lora:x:y>",
          "\xc3\xa9 \xff (\xe7\x8c\xab:1.1) BREAK"};
}
