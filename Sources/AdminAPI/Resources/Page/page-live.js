// SPDX-License-Identifier: Apache-2.0
// ---- The document, as it comes

function accept(doc) {
  announce(state.prev, doc);
  state.prev = doc;
  if (state.paused) return;
  state.doc = doc;
  render();
}
// Only what somebody would want to be interrupted for.
function announce(prev, doc) {
  if (!prev || doc.self.uptime < prev.self.uptime) return;
  const before = new Map(prev.services.map(s => [s.name, s])), news = [];
  for (const s of doc.services) {
    const old = before.get(s.name);
    if (!old) continue;
    const name = brief(s.name), was = breakerState(old.breaker);
    if (was === 'closed' && breakerState(s.breaker) === 'open') news.push(`Circuit of ${name} is open.`);
    const out = new Set(old.instances.filter(i => i.ejected).map(i => i.id));
    const fresh = s.instances.filter(i => i.ejected && !out.has(i.id));
    if (fresh.length) news.push(`${plural(fresh.length, 'instance')} of ${name} ejected.`);
  }
  if (news.length) say(news.slice(0, 3).join(' ') + (news.length > 3 ? ` And ${news.length - 3} more.` : ''));
}
function render() {
  const d = state.doc;
  if (!d || document.hidden) return;
  state.cuts = findCuts([...d.services, ...d.callers].map(t => t.name));
  drawHeader(d);
  drawMap(d);
  drawDetail(d);
  drawTable(d);
  drawFailures(d);
  text($('window'), `rates over the last ${d.window} s`);
  const used = [d.incoming, ...d.services].some(t => t.requests > 0);
  $('hint').hidden = used;
  if (!used) {
    const out = d.listeners.find(l => l.direction === 'outgoing' && l.protocol === 'http');
    text($('hint-text'), out ? 'Make some:' : 'This sidecar has no listener for outgoing HTTP.');
    text($('hint-code'), out ? `curl -x http://${out.address} http://SERVICE/path` : '');
  }
}

// ---- The stream

let source, retry = 0, timer = 0, heard = Date.now(), seen = 0;
function link(now) {
  const was = state.link;
  if (was === now) return;
  document.body.dataset.link = state.link = now;
  $('banner').hidden = now !== 'lost';
  showLink();
  if (state.doc) drawHeader(state.doc);
  if (now === 'lost') say('Disconnected, trying again.');
  else if (was === 'lost') say('Connected again.');
}
function showLink() {
  if (state.link === 'lost') tell($('link'), 'disconnected', 'bad');
  else tell($('link'), state.paused ? 'paused' : 'live', state.paused ? 'warn' : 'ok');
  for (const g of $('flows').children) if (state.paused || state.link === 'lost') g.motion?.pause();
}
// Old states are not shown as if they held: how long ago they did is all that is known.
function showAge() {
  tell($('ready'), seen ? `last seen ${span((Date.now() - seen) / 1000)} ago` : 'not seen yet', 'idle');
}
setInterval(() => { if (state.link === 'lost') showAge(); }, 1000);
function open() {
  clearTimeout(timer);
  timer = 0;
  source?.close();
  heard = Date.now();
  source = new EventSource('/v1/mesher/traffic/stream');
  source.onmessage = event => {
    heard = Date.now();
    let doc;
    try { doc = JSON.parse(event.data); } catch { return; }
    retry = 0;
    seen = Date.now();
    link('live');
    if (state.doc) accept(doc); else begin(doc);
  };
  source.onerror = () => {
    link('lost');
    // It tries again by itself, unless the answer was no event stream: then it is closed for good.
    if (source.readyState === EventSource.CLOSED && !timer)
      timer = setTimeout(open, Math.min(15000, 1000 * 2 ** retry++) + Math.random() * 500);
  };
}
// A connection can be dead without an error, for instance after the computer slept.
setInterval(() => {
  if (timer || Date.now() - heard < 8000) return;
  link('lost');
  open();
}, 2000);
document.addEventListener('visibilitychange', render);
new ResizeObserver(() => { if (state.doc) drawMap(state.doc); }).observe($('stage'));

// ---- Buttons

const root = document.documentElement, THEMES = ['auto', 'light', 'dark'];
const showTheme = () => text($('theme'), 'Theme: ' + root.dataset.theme);
if (!THEMES.includes(root.dataset.theme)) root.dataset.theme = 'auto';
showTheme();
$('theme').onclick = () => {
  root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % 3];
  try { localStorage.setItem('mesher-theme', root.dataset.theme); } catch { /* not kept, but it works */ }
  showTheme();
};
$('pause').onclick = () => {
  state.paused = !state.paused;
  text($('pause'), state.paused ? 'Resume' : 'Pause');
  showLink();
  if (!state.paused && state.prev) { state.doc = state.prev; render(); }
};

// The first numbers at once; the stream's first event may be a second away.
state.sel = selectionAt(location.hash.startsWith('#/') ? location.hash : '');
markPart();
const begin = doc => {
  if (!doc || state.doc) return;
  seen = Date.now();
  accept(doc);
  if (state.sel.kind !== 'self' || state.sel.part) show(state.sel, null);
};
fetch('/v1/mesher/traffic').then(r => r.ok ? r.json() : null).then(begin).catch(() => {});
open();
