// A response whose head is sent before its body is known, for clients that give up when they see no head.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "easel/engine.h"
#include "http/openai/streaming/image_stream.h"
#include "http/transport/message.h"
#include "http/wire/http_error.h"

namespace easel::http {

/// Time from one blank to the next.
inline constexpr std::chrono::milliseconds kBlankInterval{5'000};

/// Writes blanks, which JSON allows before a value, until the job has ended, and then the body. A client that leaves
/// cancels the job. A failure is written as an error object; the status has been sent by then.
/// @param body_of   makes the body of a job that has ended; may throw HttpFailure
/// @param interval  from one blank to the next; tests have their own
/// @param error_of  the body that describes an error
StreamEnd write_late_body(Job& job, const std::function<std::string()>& body_of, BodyWriter& body,
                          std::chrono::milliseconds interval = kBlankInterval,
                          const std::function<std::string(const HttpError&)>& error_of = &error_body);

}  // namespace easel::http
