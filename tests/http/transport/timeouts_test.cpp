// Deadlines of transfers, with and without pressure.
#include "http/transport/timeouts.h"

#include <gtest/gtest.h>

#include <thread>

namespace easel::http {
namespace {

using namespace std::chrono_literals;
using Clock = TransferDeadline::Clock;

constexpr ConnectionTimeouts kTimeouts{.body = 30s, .write = 20s, .under_load = 1s};
constexpr auto kTolerance = 200ms;

void expect_left(TransferDeadline& deadline, Pressure pressure, std::chrono::milliseconds expected) {
  const auto left = deadline.at(pressure) - Clock::now();
  EXPECT_LE(left, expected);
  EXPECT_GT(left, expected - kTolerance);
}

TEST(TransferDeadline, GrowsWithTheBytesTransferred) {
  auto body = TransferDeadline::of_body(kTimeouts, Pressure::kNone);
  expect_left(body, Pressure::kNone, 30s);
  body.progress(64 * 1024 - 1);
  expect_left(body, Pressure::kNone, 30s);
  body.progress(1);
  expect_left(body, Pressure::kNone, 31s);
  auto response = TransferDeadline::of_response(kTimeouts, Pressure::kNone);
  expect_left(response, Pressure::kNone, 20s);
}

TEST(TransferDeadline, UnderPressureNeedsProgress) {
  auto body = TransferDeadline::of_body(kTimeouts, Pressure::kNone);
  expect_left(body, Pressure::kScarce, 1s);
  std::this_thread::sleep_for(300ms);
  body.progress(100);
  expect_left(body, Pressure::kScarce, 700ms);  // too little
  body.progress(8 * 1024);
  expect_left(body, Pressure::kScarce, 1s);
  expect_left(body, Pressure::kNone, 29'700ms);
}

TEST(TransferDeadline, TimeInWhichTheServerDoesNotReadDoesNotCount) {
  auto body = TransferDeadline::of_body(kTimeouts, Pressure::kNone);
  std::this_thread::sleep_for(300ms);
  body.postpone(300ms);
  expect_left(body, Pressure::kScarce, 1s);
  body.postpone(29s);
  expect_left(body, Pressure::kNone, 59s);
}

TEST(TransferDeadline, BegunUnderPressureMustBeComplete) {
  auto body = TransferDeadline::of_body(kTimeouts, Pressure::kScarce);
  std::this_thread::sleep_for(300ms);
  body.progress(1'000'000);
  expect_left(body, Pressure::kScarce, 700ms);
}

TEST(TransferDeadline, OnceTheServerStopsProgressDoesNotHelpForLong) {
  auto body = TransferDeadline::of_body(kTimeouts, Pressure::kNone);
  auto response = TransferDeadline::of_response(kTimeouts, Pressure::kNone);
  expect_left(body, Pressure::kStopping, 1s);
  expect_left(response, Pressure::kStopping, 1s);
  std::this_thread::sleep_for(300ms);
  body.progress(1'000'000);
  response.progress(1'000'000);
  expect_left(body, Pressure::kStopping, 700ms);
  expect_left(response, Pressure::kStopping, 1s);
}

}  // namespace
}  // namespace easel::http
