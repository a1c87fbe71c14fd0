// SPDX-License-Identifier: Apache-2.0
// ---- Failures: those that are alike are one row

function drawFailures(d) {
  const groups = new Map();
  for (const f of [...d.failures].sort((a, b) => b.time - a.time)) {
    const key = JSON.stringify([f.direction, f.service, f.method, f.reason, f.endpoint]);
    if (groups.has(key)) groups.get(key).push(f); else groups.set(key, [f]);
  }
  const count = d.failures.length;
  text($('failure-count'), !count ? '' : groups.size === count ? `${count}, newest first`
    : `${count} in ${plural(groups.size, 'group')}, newest first`);
  keyed($('failure-list'), [...groups], ([key, list]) => key + (list.length > 1 ? '' : keyOf(list[0])),
    ([, list]) => list.length > 1 ? newGroup(list) : newFailure(list[0]),
    (li, [, list]) => { if (list.length > 1) drawGroup(li, list); });
}
const keyOf = f => [f.time, f.path, f.status, f.traceId].join();
function stamp(seconds) {
  const when = new Date(seconds * 1000), known = !isNaN(when);
  const node = h('time.muted', known ? when.toLocaleTimeString('en-GB') : none);
  if (known) node.dateTime = node.title = when.toISOString();
  return node;
}
function whatHappened(f) {
  const what = h('strong');
  tell(what, [f.status || 'no answer', f.reason].join(' '), 'bad');
  const service = h('bdi');
  cut(service, named(f.service));
  return [what, h('span.whom', f.direction + ' ', service)];
}
const where = f => h('span', f.endpoint ? 'at ' : 'no endpoint', h('bdi', f.endpoint || ''));

// A failure never changes: it is filled in once.
function newFailure(f) {
  const rest = h('small.muted', where(f));
  addRest(rest, f);
  return h('li', h('p', stamp(f.time), ...whatHappened(f), h('code', `${f.method} ${f.path}`)),
    h('div.wrap', h('bdi', f.text || '')), rest);
}
function addRest(rest, f) {
  rest.append(` · ${plural(f.attempts, 'attempt')} · ${latency(f.milliseconds / 1000)}`);
  if (f.traceId) {
    const copy = h('button', 'Copy');
    copy.setAttribute('aria-label', 'Copy the trace id');
    copy.onclick = () => copyText(f.traceId, copy);
    rest.append(' · trace ', h('code', f.traceId), copy);
  }
  // What comes in has its way laid out already.
  if (f.direction === 'outgoing') rest.append(' ', explainButton(() => f, brief(f.method + ' ' + f.path)));
}
function explainButton(failure, name) {
  const button = h('button', 'Explain');
  button.setAttribute('aria-label', 'Explain ' + name);
  button.onclick = () => {
    const { method, service, path } = failure();
    select({ kind: 'explain', name: '', question: { method, url: `http://${service}${path}`, headers: [] } }, button);
  };
  return button;
}
function newGroup([first]) {
  const box = h('details', h('summary', h('span')), h('ol.rows.singles')), rest = h('small.muted', h('span'));
  box.ontoggle = () => drawSingles(box);
  if (first.direction === 'outgoing')
    rest.append(' ', explainButton(() => box.list[0], `the last ${brief(first.method)} of ${brief(named(first.service))}`));
  return h('li', h('p'), h('div.wrap', h('bdi')), rest, box);
}
function drawGroup(li, list) {
  const [head, words, small, box] = li.children, [newest] = list, oldest = list[list.length - 1];
  box.list = list;
  drawSingles(box);
  const state_ = keyOf(newest) + list.length + oldest.time;
  if (li.state === state_) return;
  li.state = state_;
  const paths = new Set(list.map(f => f.path)).size - 1;
  head.replaceChildren(h('b.times', `${whole(list.length)} ×`), ...whatHappened(newest),
    h('code', `${newest.method} ${newest.path}`),
    ...paths ? [h('small', `and ${plural(paths, 'other path')}`)] : []);
  text(words.firstChild, newest.text || '');
  small.firstChild.replaceChildren(where(newest), ' · first ', stamp(oldest.time), ', last ', stamp(newest.time));
  text(box.firstChild.firstChild, `Each of the ${whole(list.length)}`);
}
function drawSingles(box) {
  if (!box.open) return;
  keyed(box.lastChild, box.list, keyOf, f => {
    const rest = h('small.muted', f.reason.startsWith('answered') ? '' : `status ${f.status || 'none'}`);
    addRest(rest, f);
    return h('li', h('p', stamp(f.time), h('code', `${f.method} ${f.path}`)), rest);
  }, () => {});
}
async function copyText(value, button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    // The clipboard needs HTTPS or localhost: the older way works on any address.
    const area = h('textarea.sr');
    area.value = value;
    document.body.append(area);
    area.select();
    done = document.execCommand('copy');
    area.remove();
    button.focus();
  }
  text(button, done ? 'Copied' : 'Not copied');
  say(`Trace id: ${button.textContent}.`);
  setTimeout(() => text(button, 'Copy'), 2000);
}
