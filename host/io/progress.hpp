// What a person sees while a run trains: on a terminal one line that is redrawn, elsewhere plain lines.
// At the end a table. Writes to a stream that the caller owns.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "io/metrics.hpp"

namespace convoy {

struct ProgressPlan {
  std::int64_t images = 0;  // that the whole run will have seen
  std::int64_t first = 0;   // seen already (a resumed run)
  int epochs = 0;
};

class Progress {
 public:
  using Now = std::function<double()>;  // seconds; tests bring their own
  enum class Style : std::uint8_t { bar, lines, quiet };

  // bar where `stream` is a terminal that can redraw a line, else lines.
  static Style style_of(std::FILE* stream);
  Progress(std::FILE* stream, Style style, Now now);
  explicit Progress(std::FILE* stream);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // leaves no half-drawn line

  void set_style(Style style) { style_ = style; }  // before begin
  void begin(const ProgressPlan& plan);
  void line(std::string_view text);  // above the bar
  void tick(std::int64_t images_seen);
  void step(const StepMetrics& row);
  void epoch(const EpochMetrics& row);
  void end();  // the bar goes

 private:
  void draw(double now);
  void erase();
  void print(const std::string& text);  // as it stands, above the bar
  std::string time_left() const;

  std::FILE* stream_;
  Style style_;
  Now now_;
  ProgressPlan plan_;
  int epochs_done_ = 0;
  bool is_running_ = false, is_drawn_ = false;
  double last_draw_ = 0, last_line_ = 0;
  double rate_ = 0, rate_time_ = 0;  // images a second, smoothed
  std::int64_t seen_ = 0, rate_seen_ = 0;
  std::optional<double> loss_;
};

// The table at the end of a run.
std::string final_table(const RunFacts& facts, const RunResults& results, double seconds, const std::string& folder);

// "1,234,567"; "0.4 s", "12 s", "3:05", "2:03:05".
std::string with_commas(std::int64_t value);
std::string duration(double seconds);

}  // namespace convoy
