// What the description of the API says of A1111's routes.
#pragma once

#include <span>

#include "http/openai/description/operation.h"

namespace easel::http::sdapi {

inline constexpr int kErrors[] = {401, 403, 500};
inline constexpr int kBodyErrors[] = {400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503};
inline constexpr int kDrawErrors[] = {400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504};

inline constexpr DescribedResponse kImages[] = {{200, "The images.", "A1111Images"}};
inline constexpr DescribedResponse kExtra[] = {{200, "The larger image.", "A1111Extra"}};
inline constexpr DescribedResponse kExtras[] = {{200, "The larger images.", "A1111Extras"}};
inline constexpr DescribedResponse kParameters[] = {{200, "The parameters in the file.", "A1111Parameters"}};
inline constexpr DescribedResponse kProgress[] = {
    {200, "The progress of the caller's oldest unfinished call.", "A1111Progress"}};
inline constexpr DescribedResponse kList[] = {{200, "A list.", "A1111List"}};
inline constexpr DescribedResponse kObject[] = {{200, "An object.", "A1111Object"}};
inline constexpr DescribedResponse kNothing[] = {{200, "null", "A1111Nothing"}};

/// A route without a body.
constexpr Operation reads(const char* summary, std::span<const DescribedResponse> responses,
                          const char* query = nullptr) {
  return {.summary = summary, .responses = responses, .errors = kErrors, .error_schema = "A1111Error", .query = query};
}

/// A route that reads a body, which is a component of that name.
constexpr Operation takes(const char* body, const char* summary, std::span<const DescribedResponse> responses,
                          std::span<const int> errors = kBodyErrors) {
  return {.summary = summary,
          .responses = responses,
          .errors = errors,
          .body = BodyOf::kNamed,
          .body_schema = body,
          .error_schema = "A1111Error"};
}

}  // namespace easel::http::sdapi
