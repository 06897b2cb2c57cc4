"use strict";

// Figures in units that people know: percent, points of 9, megabytes.

const units = (() => {
  const TAU = 2;  // points for a standard deviation, and the largest difference: docs/reading.md
  const MOST = 9;

  const sigmoid = (odds) => 1 / (1 + Math.exp(-odds));

  // Quantile of the normal distribution, at most 4.5e-4 off: Abramowitz and Stegun, 26.2.23.
  function probit(share) {
    const tail = Math.min(share, 1 - share);
    if (tail <= 0) return share < 0.5 ? -Infinity : Infinity;
    const t = Math.sqrt(-2 * Math.log(tail));
    const found = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    return share < 0.5 ? -found : found;
  }

  // The difference that stands for log-odds, as redaes/points.py has it.
  const points = (odds) => Math.max(-MOST, Math.min(MOST, TAU * probit(sigmoid(odds))));

  const percent = (share) => `${Math.round(100 * share)} %`;

  const megabytes = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

  const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

  // How far a picture of a series is behind the best one; scores are log-odds.
  function behind(one, best) {
    if (one === best) return "the best of the series";
    const gap = points(best.score - one.score);
    return `${Math.abs(gap).toFixed(1)} points of 9 ${gap < 0 ? "ahead of" : "behind"} the best`;
  }

  // The same, with how sure that is.
  function standing(one, best) {
    if (one === best) return behind(one, best);
    const gap = best.score - one.score;
    const give = (points(gap + one.error) - points(gap - one.error)) / 2;
    return `${behind(one, best)}, ${best.name} (± ${give.toFixed(1)}); ${percent(sigmoid(-gap))} that it is the better one`;
  }

  return { sigmoid, percent, megabytes, counted, behind, standing };
})();
