import { Counter, Gauge, type Metric, type Registry } from "prom-client";

/**
 * Metrics whose hot path is one addition. prom-client checks and hashes the labels at every
 * increment (0.3 us); here a series is bound to its labels once, counts in plain memory, and
 * is handed to prom-client only when somebody scrapes.
 */

export interface CounterSeries {
  inc(by?: number): void;
}

export interface HistogramSeries {
  observe(value: number): void;
}

export type Labels = Readonly<Record<string, string>>;

interface MetricText {
  readonly registry: Registry;
  readonly name: string;
  readonly help: string;
}

/** A counter family: `series(labels)` is to be called once for each label set, at start. */
export function counterFamily(
  text: MetricText & { readonly labelNames: readonly string[] },
): (labels: Labels) => CounterSeries {
  const cells: { readonly labels: Labels; count: number }[] = [];
  const metric = new Counter({
    name: text.name,
    help: text.help,
    labelNames: text.labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const cell of cells) this.inc(cell.labels, cell.count);
    },
  });
  text.registry.registerMetric(metric);
  return (labels) => {
    const cell = { labels, count: 0 };
    cells.push(cell);
    return {
      inc: (by = 1) => {
        cell.count += by;
      },
    };
  };
}

/** A counter without labels. */
export function counter(text: MetricText): CounterSeries {
  return counterFamily({ ...text, labelNames: [] })({});
}

/** A gauge that asks `read` when scraped; undefined: no sample. */
export function gauge(text: MetricText, read: () => number | undefined): void {
  const metric = new Gauge({
    name: text.name,
    help: text.help,
    registers: [],
    collect() {
      const value = read();
      if (value === undefined) this.remove();
      else this.set(value);
    },
  });
  text.registry.registerMetric(metric);
}

/** A gauge of several series, which `read` names when scraped. */
export function gaugeFamily(
  text: MetricText & { readonly labelNames: readonly string[] },
  read: () => readonly { readonly labels: Labels; readonly value: number }[],
): void {
  const metric = new Gauge({
    name: text.name,
    help: text.help,
    labelNames: text.labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const { labels, value } of read()) this.set(labels, value);
    },
  });
  text.registry.registerMetric(metric);
}

/** A gauge that is always 1 and tells something in its labels. */
export function infoGauge(text: MetricText, labels: Labels): void {
  const labelNames = Object.keys(labels);
  new Gauge({ name: text.name, help: text.help, labelNames, registers: [text.registry] }).set(
    labels,
    1,
  );
}

interface HistogramCell {
  readonly labels: Labels;
  /** Observations at or below bounds[i] and above bounds[i - 1]; the last one: above all. */
  readonly counts: Float64Array;
  sum: number;
}

/** A histogram family over ascending `bounds`. */
export function histogramFamily(
  text: MetricText & { readonly labelNames: readonly string[]; readonly bounds: readonly number[] },
): (labels: Labels) => HistogramSeries {
  const { bounds } = text;
  const cells: HistogramCell[] = [];
  // prom-client has no call that sets buckets, but its registry prints whatever `get` answers.
  const tallied = {
    name: text.name,
    help: text.help,
    get: () =>
      Promise.resolve({
        name: text.name,
        help: text.help,
        type: "histogram",
        values: cells.flatMap((cell) => samples(text.name, bounds, cell)),
      }),
    reset: () => {
      for (const cell of cells) {
        cell.counts.fill(0);
        cell.sum = 0;
      }
    },
  };
  text.registry.registerMetric(tallied as unknown as Metric);
  return (labels) => {
    const cell = { labels, counts: new Float64Array(bounds.length + 1), sum: 0 };
    cells.push(cell);
    return {
      observe: (value) => {
        const { counts } = cell;
        let i = 0;
        while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
        counts[i] = (counts[i] ?? 0) + 1;
        cell.sum += value;
      },
    };
  };
}

/** A histogram without labels. */
export function histogram(
  text: MetricText & { readonly bounds: readonly number[] },
): HistogramSeries {
  return histogramFamily({ ...text, labelNames: [] })({});
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Labels that prom-client writes out once and keeps: the same object each time. */
  readonly sharedLabels: Labels;
  readonly value: number;
}

const NO_LABELS = {};

function samples(name: string, bounds: readonly number[], cell: HistogramCell): Sample[] {
  const sharedLabels = cell.labels;
  const metricName = `${name}_bucket`;
  let below = 0;
  const out: Sample[] = bounds.map((le, i) => {
    below += cell.counts[i] ?? 0;
    return { metricName, labels: { le }, sharedLabels, value: below };
  });
  const total = below + (cell.counts[bounds.length] ?? 0);
  out.push(
    { metricName, labels: { le: "+Inf" }, sharedLabels, value: total },
    { metricName: `${name}_sum`, labels: NO_LABELS, sharedLabels, value: cell.sum },
    { metricName: `${name}_count`, labels: NO_LABELS, sharedLabels, value: total },
  );
  return out;
}

/** `count` bounds from `first`, each `factor` times the one before. */
export function exponentialBounds(first: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first * factor ** i);
}
