// SPDX-License-Identifier: Apache-2.0
// ---- Failures

function drawFailures(d) {
  const list = [...d.failures].sort((a, b) => b.time - a.time);
  text($('failure-count'), list.length ? `${list.length}, newest first` : '');
  keyed($('failure-list'), list, f => [f.time, f.service, f.method, f.path, f.status, f.traceId].join(), newFailure,
    () => {});
}
// A failure never changes: it is filled in once.
function newFailure(f) {
  const when = new Date(f.time * 1000), known = !isNaN(when);
  const stamp = h('time.muted', known ? when.toLocaleTimeString('en-GB') : none);
  if (known) stamp.dateTime = stamp.title = when.toISOString();
  const what = h('strong');
  tell(what, [f.status || 'no answer', f.reason].join(' '), 'bad');
  const rest = h('small.muted', h('span', f.endpoint ? 'at ' : 'no endpoint', h('bdi', f.endpoint || '')),
    ` · ${plural(f.attempts, 'attempt')} · ${latency(f.milliseconds / 1000)}`);
  if (f.traceId) {
    const copy = h('button', 'Copy');
    copy.setAttribute('aria-label', 'Copy the trace id');
    copy.onclick = () => copyText(f.traceId, copy);
    rest.append(' · trace ', h('code', f.traceId), copy);
  }
  const service = h('span', f.direction + ' ', h('bdi', f.service || ''));
  return h('li', h('p', stamp, what, service, h('code', `${f.method} ${f.path}`)),
    h('div.wrap', h('bdi', f.text || '')), rest);
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
