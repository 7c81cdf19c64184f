// Fields of a request that the chosen model cannot use. Some clients always send them.
#pragma once

#include <string>
#include <vector>

#include "easel/generation.h"

namespace easel::http {

/// A field that has no use.
struct UnusedField {
  const char* name;  ///< in GenerationRequest, e.g. "negative_prompt"
  std::string why;   ///< continues the name, e.g. "has no use in the model \"tiny\""
};

/// Resets the fields that change nothing with this model, so that the request is one that the model accepts:
/// ModelDescription::unused_fields, a negative prompt without guidance, and `eta` with a scheduler that has none. A
/// field with its default value is not among them. The one rule for all routes and for the command line.
///
/// Images, masks and adapters are never dropped: without them, the result would be another one than was asked for.
std::vector<UnusedField> drop_unused_fields(GenerationRequest& request, const ModelDescription& model);

}  // namespace easel::http
