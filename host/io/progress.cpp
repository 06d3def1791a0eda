// A bar that is redrawn at most ten times a second, or a line every ten seconds; epochs always have their line.
#include "io/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <utility>
#include <vector>

namespace convoy {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kLineSeconds = 10;  // between plain step lines: readable in a job's log
constexpr double kRateSeconds = 0.5;
constexpr double kRateShare = 0.3;  // of the newest measurement in the smoothed rate
constexpr std::size_t kBarWidth = 24;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::size_t terminal_width(std::FILE* stream) {
  winsize size{};
  const bool is_known = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : 80;
}

std::string bar(double fraction) {
  const auto filled = static_cast<std::size_t>(std::lround(std::clamp(fraction, 0.0, 1.0) * kBarWidth));
  return '[' + std::string(filled, '=') + std::string(kBarWidth - filled, ' ') + ']';
}

std::string rate_text(double images_per_second) {
  return fmt::format("{} images/s", with_commas(std::llround(images_per_second)));
}

void add(std::string& text, const char* what, const std::optional<double>& value) {
  if (value) text += fmt::format("  {} {:.4f}", what, *value);
}

}  // namespace

Progress::Style Progress::style_of(std::FILE* stream) {
  const char* terminal = std::getenv("TERM");
  const bool can_redraw = terminal != nullptr && std::string_view(terminal) != "dumb" && *terminal != '\0';
  return ::isatty(::fileno(stream)) == 1 && can_redraw ? Style::bar : Style::lines;
}

Progress::Progress(std::FILE* stream, Style style, Now now) : stream_(stream), style_(style), now_(std::move(now)) {}

Progress::Progress(std::FILE* stream) : Progress(stream, style_of(stream), steady_seconds) {}

Progress::~Progress() { erase(); }

void Progress::begin(const ProgressPlan& plan) {
  plan_ = plan;
  is_running_ = true;
  seen_ = rate_seen_ = plan.first;
  rate_time_ = last_line_ = now_();
  rate_ = 0;
  epochs_done_ = 0;
  loss_.reset();
}

void Progress::line(std::string_view text) { print(fmt::format("{}\n", text)); }

void Progress::print(const std::string& text) {
  erase();
  std::fwrite(text.data(), 1, text.size(), stream_);
  std::fflush(stream_);
}

void Progress::tick(std::int64_t images_seen) {
  if (!is_running_) return;
  seen_ = images_seen;
  const double now = now_();
  if (now - rate_time_ >= kRateSeconds) {
    const double measured = static_cast<double>(seen_ - rate_seen_) / (now - rate_time_);
    rate_ = rate_ > 0 ? (1 - kRateShare) * rate_ + kRateShare * measured : measured;
    rate_time_ = now;
    rate_seen_ = seen_;
  }
  if (style_ == Style::bar && now - last_draw_ >= kRedrawSeconds) draw(now);
}

std::string Progress::time_left() const {
  if (rate_ <= 0 || seen_ >= plan_.images) return "";
  return fmt::format("  {} left", duration(static_cast<double>(plan_.images - seen_) / rate_));
}

void Progress::draw(double now) {
  const double fraction = plan_.images > 0 ? static_cast<double>(seen_) / static_cast<double>(plan_.images) : 0.0;
  const int epoch = std::min(epochs_done_ + 1, std::max(plan_.epochs, 1));
  std::string text =
      fmt::format("epoch {}/{} {} {:3.0f} %", epoch, plan_.epochs, bar(fraction), std::floor(fraction * 100));
  if (rate_ > 0) text += "  " + rate_text(rate_);
  add(text, "loss", loss_);
  text += time_left();
  text.resize(std::min(text.size(), terminal_width(stream_) - 1));  // a wrapped line could not be redrawn
  text = fmt::format("\r{}\x1b[K", text);
  std::fwrite(text.data(), 1, text.size(), stream_);  // fmt::print throws where a terminal is gone
  std::fflush(stream_);
  is_drawn_ = true;
  last_draw_ = now;
}

void Progress::erase() {
  if (!is_drawn_) return;
  std::fputs("\r\x1b[K", stream_);
  std::fflush(stream_);
  is_drawn_ = false;
}

void Progress::step(const StepMetrics& row) {
  loss_ = row.loss;
  const double now = now_();
  if (style_ != Style::lines || now - last_line_ < kLineSeconds) return;
  last_line_ = now;
  line(fmt::format("epoch {}/{}  step {}  loss {:.4f}  learning rate {:.3g}  {}{}", row.epoch, plan_.epochs,
                   with_commas(row.step), row.loss, row.learning_rate, rate_text(row.images_per_second), time_left()));
}

void Progress::epoch(const EpochMetrics& row) {
  epochs_done_ = row.epoch;
  if (style_ == Style::quiet) return;
  std::string text = fmt::format("epoch {}/{}  train loss {:.4f}", row.epoch, plan_.epochs, row.train_loss);
  add(text, "train accuracy", row.train_accuracy);
  add(text, "validation loss", row.validation_loss);
  add(text, "validation accuracy", row.validation_accuracy);
  add(text, "test loss", row.test_loss);
  add(text, "test accuracy", row.test_accuracy);
  line(text + "  " + rate_text(row.images_per_second));
  last_line_ = rate_time_ = now_();  // what the evaluation took says nothing of the rate
  rate_seen_ = row.images_seen;
}

void Progress::end() {
  erase();
  is_running_ = false;
}

std::string with_commas(std::int64_t value) {
  std::string text = fmt::format("{}", value);
  const std::ptrdiff_t first = value < 0 ? 1 : 0;
  for (std::ptrdiff_t at = std::ssize(text) - 3; at > first; at -= 3) text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

std::string duration(double seconds) {
  if (seconds < 9.95) return fmt::format("{:.1f} s", std::max(seconds, 0.0));
  const std::int64_t whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string final_table(const RunFacts& facts, const RunResults& results, double seconds, const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto put = [&](const char* what, const std::optional<double>& value) {
    if (value) rows.emplace_back(what, fmt::format("{:.4f}", *value));
  };
  put("test accuracy", results.test_accuracy);
  const bool has_views = results.test_accuracy_plain && results.test_accuracy_plain != results.test_accuracy;
  if (has_views) put("  without views", results.test_accuracy_plain);
  if (const auto& local = results.local_test_accuracy; !local.empty()) {
    const auto [least, most] = std::ranges::minmax_element(local);
    rows.emplace_back("  of each rank alone", fmt::format("{:.4f}-{:.4f} ({} ranks)", *least, *most, local.size()));
  }
  put("test loss", results.test_loss);
  put("validation accuracy", results.validation_accuracy);
  put("validation loss", results.validation_loss);
  put("train loss", results.train_loss);
  rows.emplace_back("data", facts.data_name);
  rows.emplace_back("epochs", fmt::format("{} ({} steps)", results.epochs, with_commas(results.steps)));
  if (results.epochs > 0) rows.emplace_back("time per epoch", duration(results.train_seconds / results.epochs));
  rows.emplace_back("images/s", with_commas(std::llround(results.images_per_second())));
  rows.emplace_back("time", fmt::format("{} (start-up {}, training {}, evaluation {})", duration(seconds),
                                        duration(results.startup_seconds), duration(results.train_seconds),
                                        duration(results.evaluation_seconds)));
  rows.emplace_back("device", fmt::format("{}, {}", facts.device, facts.precision));
  rows.emplace_back("outputs", folder + "/");

  std::size_t width = 0;
  for (const auto& [what, value] : rows) width = std::max(width, what.size());
  std::string table;
  for (const auto& [what, value] : rows) table += fmt::format("\n  {:<{}}  {}", what, width, value);
  return table.substr(1);
}

}  // namespace convoy
