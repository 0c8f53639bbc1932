// Draws one board with Grafana's own components, from answers that draw.py wrote into the page.
import {
  type DataFrame,
  FieldType,
  type Field,
  createTheme,
  dateTime,
  getDisplayProcessor,
  stringToJsRegex,
  toDataFrame,
} from '@grafana/data';
import {
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  GlobalStyles,
  PanelChrome,
  ThemeContext,
  TimeSeries,
} from '@grafana/ui';
import { type ReactNode, useEffect, useLayoutEffect, useRef } from 'react';
import { createRoot } from 'react-dom/client';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

const { board, answers, annotations, range, look, choices } = (window as any).PAGE;
const theme = createTheme({ colors: { mode: look.mode } });
const WIDTH = look.width, MARGIN = 16, CELL = 30, GAP = 8;
const COLUMN = (WIDTH - 2 * MARGIN + GAP) / 24;
const timeRange = { from: dateTime(range.from), to: dateTime(range.to), raw: { from: 'now-1h', to: 'now' } };

// "{{model}} left" with the labels of a series.
const legend = (format: string, labels: Record<string, string>) =>
  format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '').trim();

// One frame a series, on the whole time axis: where a point is missing there is a gap.
function frames(panel: any): DataFrame[] {
  const times: number[] = [];
  for (let at = range.from; at <= range.to; at += range.step) times.push(at);
  const found: DataFrame[] = [];
  for (const target of panel.targets) {
    for (const series of answers[panel.id][target.refId]) {
      const points = new Map(series.values.map(([at, value]: [number, string]) => [at * 1000, Number(value)]));
      const values = times.map((at) => { const v = points.get(at) as number; return Number.isFinite(v) ? v : null; });
      const config = structuredClone(panel.fieldConfig.defaults);
      for (const step of config.thresholds.steps) step.value ??= -Infinity;
      for (const { matcher, properties } of panel.fieldConfig.overrides) {
        const name = legend(target.legendFormat, series.metric);
        const meant = { byFrameRefID: target.refId, byName: name }[matcher.id as string] === matcher.options
          || (matcher.id === 'byRegexp' && stringToJsRegex(matcher.options).test(name));
        if (meant) for (const { id, value } of properties) put(config, id, value);
      }
      config.displayNameFromDS = legend(target.legendFormat, series.metric);
      found.push(toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: times, config: {} },
          { name: 'Value', type: FieldType.number, values, labels: series.metric, config },
        ],
      }));
    }
  }
  found.sort((a, b) => Number(a.refId! > b.refId!));
  found.forEach((frame, index) => frame.fields.forEach((field) => {
    const known = field.values.filter((value) => value != null);
    const range = { min: Math.min(...known), max: Math.max(...known), delta: null };
    field.state = { seriesIndex: index, range };
    field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  }));
  return found;
}

function put(at: any, path: string, value: unknown) {
  const names = path.split('.'), final = names.pop()!;
  for (const name of names) at = at[name] ??= {};
  at[final] = value;
}

// The board says which point counts: the last one, of which there may be none.
const reduced = (field: Field, calc: string) =>
  calc === 'last' ? field.values.at(-1) ?? NaN : field.values.filter((value) => value != null).at(-1);

const NoData = ({ panel }: any) => (
  <div style={{ height: '100%', display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>
    {panel.fieldConfig.defaults.noValue}
  </div>
);

function Figure({ panel, width, height }: any) {
  const [frame] = frames(panel);
  if (!frame) return <NoData panel={panel} />;
  const [time, value] = frame.fields;
  return (
    <BigValue
      width={width} height={height} theme={theme}
      value={value.display!(reduced(value, panel.options.reduceOptions.calcs[0]))}
      sparkline={{ x: time, y: value }}
      colorMode={BigValueColorMode.Value} graphMode={BigValueGraphMode.Area}
    />
  );
}

// Regions and lines of annotations, as Grafana marks them.
function Marks({ config }: any) {
  useLayoutEffect(() => {
    config.addHook('draw', (u: uPlot) => {
      const { ctx, bbox } = u;
      ctx.save();
      for (const mark of annotations) {
        const colour = theme.visualization.getColorByName(mark.colour);
        const x0 = Math.max(bbox.left, u.valToPos(mark.from, 'x', true));
        const x1 = Math.min(bbox.left + bbox.width, u.valToPos(mark.to, 'x', true));
        ctx.strokeStyle = ctx.fillStyle = colour;
        ctx.setLineDash([4, 4]);
        for (const x of [x0, x1]) {
          ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        }
        ctx.globalAlpha = 0.07;
        ctx.fillRect(x0, bbox.top, x1 - x0, bbox.height);
        ctx.globalAlpha = 1;
        ctx.fillRect(x0, bbox.top + bbox.height, x1 - x0, 4 * devicePixelRatio);
      }
      ctx.restore();
    });
  }, [config]);
  return null;
}

function Lines({ panel, width, height }: any) {
  const found = frames(panel);
  if (!found.length) return <NoData panel={panel} />;
  return (
    <TimeSeries
      frames={found} timeRange={timeRange as any} timeZone="utc" structureRev={1}
      width={width} height={height} legend={panel.options.legend}
    >
      {(config: any) => <Marks config={config} />}
    </TimeSeries>
  );
}

// Grafana's scatter plot is a plugin, not a component: the same plotting library, set up as there.
function Scatter({ panel, width, height }: any) {
  const where = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const [across, up] = frames(panel).map((frame) => frame.fields[1]);
    const points = across.values.map((x, at) => [x, up.values[at]]).filter(([x, y]) => x != null && y != null);
    points.sort((a, b) => a[0] - b[0]);
    const font = `12px ${theme.typography.fontFamily}`;
    const grid = { stroke: theme.isDark ? 'rgba(240, 250, 255, 0.09)' : 'rgba(0, 10, 23, 0.09)', width: 1 };
    const axis = { stroke: theme.colors.text.primary, font, grid, ticks: grid };
    const colour = theme.visualization.getColorByName(up.config.color!.fixedColor!);
    new uPlot({
      width, height, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false, range: (_, _min, max) => [0, max * 1.05] }, y: { range: (_, _min, max) => [0, max * 1.1] } },
      axes: [
        { ...axis, size: 44, label: panel.options.series[0].x.matcher.options, labelSize: 18, labelFont: font },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => { const d = up.display!(tick); return d.text + (d.suffix ?? ''); }) },
      ],
      series: [{}, {
        stroke: colour, paths: () => null,
        points: { show: true, size: up.config.custom.pointSize.fixed, width: 1, stroke: colour, fill: colour + '80' },
      }],
    }, [points.map(([x]) => x), points.map(([, y]) => y)], where.current!);
  }, []);
  return <div ref={where} />;
}

const KINDS: Record<string, (props: any) => ReactNode> = { stat: Figure, timeseries: Lines, xychart: Scatter };

function Panel({ panel }: any) {
  const { x, y, w, h } = panel.gridPos;
  const at = { left: MARGIN + x * COLUMN, top: y * (CELL + GAP) };
  const size = { width: w * COLUMN - GAP, height: h * CELL + (h - 1) * GAP };
  if (panel.type === 'row') {
    return (
      <div style={{ position: 'absolute', ...at, height: CELL, lineHeight: `${CELL}px`, fontSize: 16, fontWeight: 500 }}>
        {panel.collapsed ? '›' : '⌄'}&nbsp; {panel.title}
        {panel.collapsed && <span style={{ color: theme.colors.text.secondary, fontWeight: 400 }}> ({panel.panels.length} panels)</span>}
      </div>
    );
  }
  const Kind = KINDS[panel.type];
  return (
    <div style={{ position: 'absolute', ...at }}>
      <PanelChrome title={panel.title} description={panel.description} {...size}>
        {(width: number, height: number) => <Kind panel={panel} width={width} height={height} />}
      </PanelChrome>
    </div>
  );
}

const Choice = ({ label, value }: any) => (
  <span style={{ display: 'inline-flex', marginRight: 12, fontSize: 13, border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2 }}>
    <span style={{ padding: '5px 8px', background: theme.colors.background.secondary }}>{label}</span>
    <span style={{ padding: '5px 12px', background: theme.components.input.background }}>{value}</span>
  </span>
);

createRoot(document.getElementById('board')!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ padding: `14px ${MARGIN}px 10px`, height: 100, boxSizing: 'border-box' }}>
      <div style={{ fontSize: 20, fontWeight: 500, marginBottom: 10 }}>{board.title}</div>
      {choices.map(([label, value]: [string, string]) => <Choice key={label} label={label} value={value} />)}
    </div>
    <div style={{ position: 'relative' }}>{board.panels.map((panel: any) => <Panel key={panel.id} panel={panel} />)}</div>
  </ThemeContext.Provider>
);
