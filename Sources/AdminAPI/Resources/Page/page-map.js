// SPDX-License-Identifier: Apache-2.0
// ---- Map

const UNNAMED = 'unnamed callers';
const quiet = matchMedia('(prefers-reduced-motion: reduce)');

// What fails, and the busiest, by name. One that is shown stays until another is much busier: otherwise two of about the same rate
// would take each other's place every second.
function picked(list, kind) {
  // The one that is selected is always there.
  const worth = t => t.name === (state.sel.kind === kind ? state.sel.name : null) ? Infinity
    : alarm(t) * 1e12 + t.requestRate * (state.shown[kind].has(t.name) ? 1.5 : 1);
  const pick = list.length <= SHOWN ? [...list] : [...list].sort((a, b) => worth(b) - worth(a)).slice(0, SHOWN);
  state.shown[kind] = new Set(pick.map(t => t.name));
  return pick.sort((a, b) => alarm(b) - alarm(a) || byName(a, b));
}

function drawMap(d) {
  const width = $('stage').clientWidth;
  if (!width) return;
  let from = d.callers;
  if (!from.length && d.incoming.requests > 0) from = [{ ...d.incoming, name: UNNAMED }];
  const callers = picked(from, 'caller'), services = picked(d.services, 'service');
  const left = callers.map(t => ({ kind: 'caller', name: t.name, t }));
  const right = services.map(t => ({ kind: 'service', name: t.name, t }));
  if (from.length > left.length) left.push({ kind: 'more', name: 'self', count: from.length - left.length });
  if (d.services.length > right.length)
    right.push({ kind: 'more', name: 'services', count: d.services.length - right.length });
  const self = { kind: 'self', name: '' };
  if (!left.length) left.push({ kind: 'nothing', name: 'no callers yet' });
  if (!right.length) right.push({ kind: 'nothing', name: 'no services yet' });

  (width < 700 ? stack : fan)(width, left, self, right);
  const most = Math.max(10, ...[...left, ...right].map(n => n.t ? n.t.requestRate : 0));
  keyed($('flows'), [...left, ...right].filter(n => n.t), n => n.kind + n.name, newFlow,
    (g, n) => drawFlow(g, n, most));
  keyed($('nodes'), [...left, self, ...right], n => n.kind + n.name, newNode, (b, n) => drawNode(b, n, d));
  if (!document.querySelector('.node[tabindex="0"]')) document.querySelector('.node.self').tabIndex = 0;
  $('waiting').hidden = true;
}

// Callers, sidecar and services beside each other.
function fan(width, left, self, right) {
  const count = Math.max(left.length, right.length, 4), row = count > 9 ? 51 : 56, tall = 44, high = count * row;
  const nodeWidth = Math.round(Math.min(220, Math.max(130, width * 0.2)));
  const w = 112, hh = Math.min(high - 12, 92 + 12 * Math.max(left.length, right.length));
  Object.assign(self, { x: (width - w) / 2, y: (high - hh) / 2, w, h: hh });
  for (const [side, list] of [[0, left], [1, right]]) {
    const top = (high - list.length * row) / 2;
    list.forEach((n, i) => {
      Object.assign(n, { x: side ? width - nodeWidth : 0, y: top + i * row + (row - tall) / 2, w: nodeWidth, h: tall });
      const y = n.y + tall / 2;
      const at = list.length < 2 ? 0.5 : i / (list.length - 1), port = self.y + 18 + at * (hh - 36);
      const straight = 128, inner = side ? self.x + w : self.x, outer = side ? n.x : nodeWidth;
      const bend = side ? outer - straight : outer + straight, mid = (inner + bend) / 2;
      n.path = side ? `M${inner} ${port}C${mid} ${port} ${mid} ${y} ${bend} ${y}H${outer - 8}`
        : `M${outer} ${y}H${bend}C${mid} ${y} ${mid} ${port} ${inner - 8} ${port}`;
      n.mark = side ? [outer, y] : [inner, port];
      n.label = [side ? bend + 4 : outer + 10, y];
    });
  }
  finish(high, '');
}

// The same under each other, for a narrow screen: a trunk at the left with a branch for each.
function stack(width, left, self, right) {
  const row = 58, tall = 46, trunk = 9, nodeWidth = Math.round(Math.min(260, width * 0.5, width - 150));
  let y = 0;
  for (const [side, list] of [[0, left], [1, right]]) {
    for (const n of list) {
      Object.assign(n, { x: width - nodeWidth, y: y + 6, w: nodeWidth, h: tall });
      const middle = y + 6 + tall / 2;
      n.path = side ? `M${trunk} ${middle}H${n.x - 8}` : `M${n.x} ${middle}H${trunk}`;
      n.mark = side ? [n.x, middle] : null;
      n.label = [trunk + 12, middle];
      y += row;
    }
    if (!side) { Object.assign(self, { x: 0, y: y + 12, w: width, h: 70 }); y += 94; }
  }
  const first = left[0].t ? `M${trunk} ${left[0].label[1]}V${self.y}` : '';
  finish(y, right[0].t ? `${first}M${trunk} ${self.y}V${right[right.length - 1].label[1]}` : first);
}
function finish(high, trunk) {
  style($('stage'), 'height', high + 'px');
  attr(document.querySelector('.trunk'), 'd', trunk);
}

function newFlow() {
  const make = tag => document.createElementNS('http://www.w3.org/2000/svg', tag), g = make('g');
  for (const name of ['line', 'beads', 'mark', 'rate', 'rest']) {
    const node = make(name[0] === 'r' ? 'text' : 'path');
    attr(node, 'class', name);
    g.append(node);
  }
  return g;
}
function drawFlow(g, { t, path, mark, label }, most) {
  const [line, beads, arrow, a, b] = g.children, tone = flowTone(t);
  attr(g, 'class', 'flow ' + tone);
  const thick = 1.5 + 5 * Math.log1p(t.requestRate) / Math.log1p(most);
  for (const [node, extra] of [[line, 0], [beads, 3]]) {
    attr(node, 'd', path);
    attr(node, 'stroke-width', (thick + extra).toFixed(1));
  }
  const wing = 5 + thick / 2;
  attr(arrow, 'd', mark ? `M${mark[0]} ${mark[1]}l-10 ${-wing}v${2 * wing}z` : '');
  for (const [node, dy] of [[a, -thick / 2 - 5], [b, thick / 2 + 13]]) {
    attr(node, 'x', label[0]);
    attr(node, 'y', label[1] + dy);
  }
  text(a, tone === 'idle' ? 'idle' : perSecond(t.requestRate));
  const sign = { warn: '▲ ', bad: '✕ ' }[tone] || '';
  text(b, tone === 'idle' ? '' : `${sign}${percent(errorShare(t))} · ${sign ? "" : "p99 "}${latency(t.p99)}`);
  move(g, beads, tone === 'idle' ? 0 : t.requestRate);
}
// A running animation changes its speed without a jump, which a new duration in CSS would cause.
function move(g, beads, speed) {
  const still = !speed || quiet.matches || state.paused || state.link === 'lost';
  style(beads, 'visibility', speed && !quiet.matches ? '' : 'hidden');
  if (!g.motion) {
    if (still) return;
    g.motion = beads.animate({ strokeDashoffset: [30, 0] }, { duration: 1000, iterations: Infinity });
  }
  // By the logarithm: between one request a second and ten thousand, all can be told apart and none flickers.
  if (still) g.motion.pause();
  else {
    g.motion.updatePlaybackRate(0.2 + 0.45 * Math.log10(1 + speed));
    if (g.motion.playState !== 'running') g.motion.play();
  }
}

function newNode(n) {
  if (n.kind === 'nothing') return h('p.nothing');
  if (n.kind === 'more') {
    const a = h('a.node.more');
    a.href = n.name === 'self' ? '#detail' : '#services';
    a.onclick = event => {
      event.preventDefault();
      if (n.name === 'self') return choose('self', '', a);
      go($('services-title'));
      $('filter').focus({ preventScroll: true });
    };
    return a;
  }
  const b = h('button.node.' + n.kind, h('bdi'), h('small'));
  b.tabIndex = -1;
  b.onclick = () => choose(n.kind, n.name, b);
  b.onfocus = () => {
    for (const other of $('nodes').querySelectorAll('button.node')) other.tabIndex = other === b ? 0 : -1;
  };
  return b;
}
function drawNode(b, n, d) {
  for (const [name, v] of [['left', n.x], ['top', n.y], ['width', n.w], ['height', n.h]]) style(b, name, v + 'px');
  b.place = n;
  if (n.kind === 'nothing') return text(b, n.name);
  if (n.kind === 'more') return text(b, n.name === 'self' ? `${n.count} more callers` : `${n.count} more in the table`);
  const [name, sub] = b.children, title = n.kind === 'self' ? d.self.name : named(n.name);
  let [words, tone] = ['caller', null];
  if (n.kind === 'service') [words, tone] = health(n.t);
  else if (n.kind === 'self') words = `${perSecond(d.incoming.requestRate)} in`;
  cut(name, title);
  tell(sub, words, tone);
  attr(b, 'title', title);
  attr(b, 'aria-pressed', isChosen(n.kind, n.name));
  // Some screen readers speak a label that changes under the focus: once a second would be a nuisance.
  if (b !== document.activeElement || !b.hasAttribute('aria-label')) {
    const what = n.kind === 'self' ? 'this sidecar' : n.kind === 'caller' ? 'caller' : 'service, ' + words;
    attr(b, 'aria-label', `${title}, ${what}, ${spoken(n.t || d.incoming)}`);
  }
}
// By where the nodes are, so that it is right in both layouts.
$('nodes').addEventListener('keydown', event => {
  const here = document.activeElement, all = [...$('nodes').querySelectorAll('.node')];
  const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
  let to;
  if (event.key === 'Home') to = all[0];
  else if (event.key === 'End') to = all[all.length - 1];
  else if (step && here.place) {
    const centre = b => [b.place.x + b.place.w / 2, b.place.y + b.place.h / 2];
    const [x, y] = centre(here);
    const far = b => {
      const [dx, dy] = [centre(b)[0] - x, centre(b)[1] - y];
      const along = dx * step[0] + dy * step[1], across = Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
      return along < 2 || (step[1] && across > here.place.w * 2) ? Infinity : along + across * (step[0] ? 0.2 : 4);
    };
    to = all.filter(b => b !== here && far(b) < Infinity).sort((a, b) => far(a) - far(b))[0];
  } else return;
  event.preventDefault();
  to?.focus();
});
