// SPDX-License-Identifier: Apache-2.0
'use strict';
// Every string of the document was made by another machine. It reaches the page through textContent, title and
// aria-label only: nothing here builds markup or a style from data. What stands behind # is encoded.

const $ = id => document.getElementById(id);
const SHOWN = 12;     // nodes of a column of the map
const MANY = 0.05;    // share of errors from which an arrow is red; the legend says it too
const state = { doc: null, prev: null, sel: { kind: 'self', name: '' }, opener: null, paused: false, link: 'loading',
  sort: { by: 'rate', dir: -1, isChosen: false }, shown: { caller: new Set(), service: new Set() }, cuts: new Map() };

// ---- Numbers as text

const formats = [0, 1, 2].map(d => new Intl.NumberFormat('en', { minimumFractionDigits: d, maximumFractionDigits: d }));
const fix = (v, d) => formats[d].format(v);
const none = '–';
const whole = v => v == null ? none : v < 1e6 ? fix(v, 0) : fix(v / 1e6, 2) + ' M';
const rate = v => v == null ? none : v === 0 ? '0' : v < 0.05 ? '<0.1' : v < 99.95 ? fix(v, 1) : v < 1e4 ? fix(v, 0)
  : fix(v / 1e3, 1) + ' k';
const perSecond = v => v == null ? none : rate(v) + '/s';
const percent = v => v == null ? none : v === 0 ? '0 %' : v < 0.001 ? '<0.1 %' : v < 0.0995 ? fix(v * 100, 1) + ' %'
  : fix(v * 100, 0) + ' %';
const latency = s => s == null ? none : s < 0.0095 ? fix(s * 1e3, s < 0.00095 ? 2 : 1) + ' ms' : s < 0.9995
  ? fix(s * 1e3, 0) + ' ms' : fix(s, s < 9.995 ? 2 : 1) + ' s';
const bytes = b => b == null ? none : b < 1073741824 ? fix(b / 1048576, 1) + ' MiB' : fix(b / 1073741824, 2) + ' GiB';
const two = n => String(n).padStart(2, '0');
function span(s) {
  if (s == null) return none;
  const [days, hours, minutes] = [86400, 3600, 60].map(unit => Math.floor(s / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${two(minutes % 60)} min`;
  return (minutes ? `${minutes} min ${two(Math.floor(s % 60))}` : Math.floor(s)) + ' s';
}
const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? '' : 's'}`;
// Both are rates per second, taken at slightly different moments: the share may not exceed 1.
const errorShare = t => t.requestRate > 0 ? Math.min(1, (t.errorRate || 0) / t.requestRate) : 0;
const flowTone = t => !(t.requestRate > 0) ? 'idle' : !(t.errorRate > 0) ? 'ok' : errorShare(t) < MANY ? 'warn' : 'bad';
const trouble = tone => tone === 'warn' || tone === 'bad' ? tone : null;

// ---- The page, changed only where it differs

function h(spec, ...kids) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  node.append(...kids);
  return node;
}
function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}
function attr(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}
function tell(node, value, tone) {
  text(node, value);
  attr(node, 'data-tone', tone);
}
const style = (node, name, value) => { if (node.style[name] !== value) node.style[name] = value; };

// Puts the elements in order. The one that has the focus, or a selection, stays in the document: a node that is moved
// loses both.
function place(parent, list) {
  const chosen = getSelection();
  let held = list.findIndex(n => n.contains(document.activeElement));
  if (held < 0 && chosen && !chosen.isCollapsed) held = list.findIndex(n => n.contains(chosen.anchorNode));
  if (held < 0 && list.length) {
    held = 0;
    if (parent.firstElementChild !== list[0]) parent.prepend(list[0]);
  }
  for (let i = held - 1; i >= 0; i--)
    if (list[i].nextSibling !== list[i + 1]) parent.insertBefore(list[i], list[i + 1]);
  for (let i = held + 1; i < list.length; i++)
    if (list[i - 1].nextSibling !== list[i]) parent.insertBefore(list[i], list[i - 1].nextSibling);
}
const kept = new WeakMap();
function keyed(parent, items, key, create, update) {
  const old = kept.get(parent) || new Map(), next = new Map();
  for (const item of items) {
    let k = String(key(item));
    while (next.has(k)) k += '\n';    // two of the same key are possible: both are shown
    let node = old.get(k);
    if (node) old.delete(k); else node = create(item);
    next.set(k, node);
    update(node, item);
  }
  for (const node of old.values()) {
    // The focus would fall to the top of the page: the section's heading is nearer.
    if (node.contains(document.activeElement))
      node.closest('section')?.querySelector('h2').focus({ preventScroll: true });
    node.remove();
  }
  place(parent, [...next.values()]);
  kept.set(parent, next);
}
// A list of terms: [term, value, tone].
function terms(dl, list) {
  keyed(dl, list, t => t[0], t => h('div', h('dt', t[0]), h('dd')), (div, t) => tell(div.lastChild, t[1], t[2]));
}

// ---- What the parts have in common

const able = s => s.instances.filter(i => i.eligible && !i.ejected && !i.operator).length;
const ejected = s => s.instances.filter(i => i.ejected).length;
const breakerState = b => !b ? null : typeof b === 'string' ? b : b.enabled === false ? null : b.state;
function health(s) {
  const b = breakerState(s.breaker), n = s.instances.length, out = ejected(s), up = able(s);
  if (b === 'open') return ['circuit open', 'bad'];
  if (!n) return ['no instances', 'warn'];
  if (!up) return ['no eligible instance', 'bad'];
  if (b === 'half-open') return ['circuit half-open', 'warn'];
  if (out) return [`${out} of ${n} ejected`, 'warn'];
  return [up < n ? `${up} of ${n} eligible` : plural(n, 'instance'), null];
}
// How much somebody has to look at it: 2 where calls fail, 1 where they may soon.
const alarm = t => {
  const tone = t.instances ? health(t)[1] : null;
  return tone === 'bad' || flowTone(t) === 'bad' ? 2 : tone && t.requestRate > 0 ? 1 : 0;
};
const spoken = t => !(t.requestRate > 0) ? 'idle'
  : `${perSecond(t.requestRate)}, ${percent(errorShare(t))} errors, p99 ${latency(t.p99)}`;
const traffic = t => [
  ['Requests', perSecond(t.requestRate)], ['Errors', percent(errorShare(t)), trouble(flowTone(t))],
  ['Since start', whole(t.requests)], ['Failed', whole(t.failures)],
  ['p50', latency(t.p50)], ['p90', latency(t.p90)], ['p99', latency(t.p99)]];
const named = name => name || '(no name)';
const collator = new Intl.Collator('en', { numeric: true });
const byName = (a, b) => collator.compare(a.name, b.name);
const brief = name => name.slice(0, 60);

// A long name is cut in the middle, before what tells it from the names that begin alike: those of one company all do.
function findCuts(names) {
  const sorted = [...new Set(names)].sort(), found = new Map();
  const common = (a, b = '') => {
    let i = 0;
    while (i < a.length && a[i] === b[i]) i++;
    return i;
  };
  sorted.forEach((name, i) => {
    const start = name.slice(0, Math.max(common(name, sorted[i - 1]), common(name, sorted[i + 1])));
    const word = start.search(/[^.\-_/:@]*$/);
    if (word >= 4 && word < name.length) found.set(name, word);
  });
  return found;
}
function cut(node, name) {
  node.classList.add('cut');
  if (node.textContent === name) return;
  const letters = [...name], at = state.cuts.get(name);
  const end = at ? name.slice(at) : letters.length > 12 ? letters.splice(-8).join('') : '';
  node.replaceChildren(h('span', at ? name.slice(0, at) : letters.join('')), h('span', end));
  node.title = name;
  // The two parts would be read as two words.
  if (node.parentElement?.localName === 'button') attr(node.parentElement, 'aria-label', end ? name : null);
}
const say = words => { $('say').textContent = words; };

// ---- Header

function drawHeader(d) {
  const me = d.self, p = d.process;
  const part = { service: state.sel.name, caller: state.sel.name, explain: 'Explain', certificates: 'Certificates' };
  document.title = [me.name, part[state.sel.kind], 'mesher'].filter(Boolean).join(' · ');
  text($('name'), me.name);
  text($('version'), me.version || none);
  text($('app'), me.app || none);
  if (state.link === 'lost') showAge();
  else if (me.draining) tell($('ready'), 'draining', 'warn');
  else if (me.ready) tell($('ready'), 'ready', 'ok');
  else tell($('ready'), 'not ready' + (me.missing.length ? ': ' + me.missing.join(', ') : ''), 'bad');
  text($('build'), 'mesher ' + (me.build || ''));
  const lag = p.loopLag.length ? Math.max(...p.loopLag) : null;
  terms($('facts'), [
    ['Uptime', span(me.uptime)],
    ['Overload', p.overload, loadTone(p)],
    ['Memory', bytes(p.residentBytes)],
    ['Client connections', whole(p.clientConnections)],
    ['Upstream connections', `${whole(p.upstreamConnections)}, ${whole(p.idleUpstreamConnections)} idle`],
    ['Loop lag', latency(lag), lag > 0.1 ? 'warn' : null],
    d.registry || !d.controlPlane ? ['Registry', ...registryState(d)] : null,
    d.controlPlane ? ['Control plane', ...controlPlaneState(d.controlPlane)] : null].filter(Boolean));
}
function controlPlaneState(c) {
  if (!c.connected) return ['unreachable', 'bad'];
  const more = [c.protocol, ...c.held.map(h => `${whole(h.count)} ${h.kind}`)];
  if (c.waitingFor.length) more.push('waiting for ' + c.waitingFor.length);
  if (c.refused.length) more.push(c.refused.length + ' refused');
  return [more.join(', '), c.refused.length ? 'warn' : 'ok'];
}
const loadTone = p => p.overload === 'normal' ? null : p.overload === 'high' ? 'warn' : 'bad';
function registryState({ registry: r, registries = [] }) {
  // One that cannot be away, such as a file, has no more to say than whether it was read.
  if (!r && !registries.length) return ['none', null];
  if (!r) return registries.every(each => each.synced) ? [registries.map(each => each.name).join(', '), null]
    : [registries.map(each => each.name + (each.synced ? '' : ', not read yet')).join(', '), 'warn'];
  if (!r.reachable) return ['unreachable', 'bad'];
  const more = [r.watching ? 'watching' : 'reachable', plural(r.services, 'service')];
  if (r.staleServices) more.push(r.staleServices + ' stale');
  if (r.heldInstances) more.push(r.heldInstances + ' held');
  return [more.join(', '), r.staleServices || r.heldInstances ? 'warn' : 'ok'];
}
