// SPDX-License-Identifier: Apache-2.0
// ---- Explain: what would become of a request; none is sent

let asked = 0;
const lines = value => value.split('\n').map(line => line.trim()).filter(Boolean);
// Puts a question into the form and asks it; without one, what stands there stays.
function askFor(question) {
  if (!question) return;
  $('ask-method').value = question.method;
  $('ask-url').value = question.url;
  // Those with secrets are not in the address: what was typed stays.
  const typed = lines($('ask-headers').value), same = typed.filter(line => !SECRET.test(line)).join('\n');
  if (same !== question.headers.filter(line => !SECRET.test(line)).join('\n'))
    $('ask-headers').value = question.headers.join('\n');
  $('ask-from').value = question.from || '';
  ask({ ...question, headers: lines($('ask-headers').value) });
}
$('question').onsubmit = event => {
  event.preventDefault();
  const url = $('ask-url').value.trim();
  if (!url) return;
  select({ kind: 'explain', name: '', question: { method: $('ask-method').value.trim() || 'GET', url,
    headers: lines($('ask-headers').value), from: $('ask-from').value.trim() || undefined } }, $('ask'));
};
$('explain-service').onclick = event => select({ kind: 'explain', name: '',
  question: { method: 'GET', url: `http://${state.sel.name}/`, headers: [] } }, event.currentTarget);

async function ask(question) {
  const turn = ++asked;
  let found, wrong = '';
  try {
    const answer = await fetch('/v1/mesher/explain', { method: 'POST', body: JSON.stringify(question),
      headers: { 'Content-Type': 'application/json' }, signal: AbortSignal.timeout(10000) });
    const body = await answer.json();
    if (answer.ok) found = body;
    else wrong = body.error || `the sidecar answered with status ${answer.status}`;
  } catch (error) {
    wrong = `the sidecar does not answer (${error.message}); ask again`;
  }
  // A later question has overtaken it.
  if (turn !== asked) return;
  $('answer').classList.toggle('note', true);
  if (found) drawExplanation(found);
  else {
    $('steps').replaceChildren();
    tell($('answer'), wrong, 'bad');
  }
}

function verdict({ answer: a }) {
  const own = a.status == null ? null : `${a.status}${a.reason ? ` ${a.reason}` : ''}: ${a.body || ''}`;
  if (!a.isForwarded) return own ? [own, 'bad'] : ['Not known yet: the first request finds out.', 'warn'];
  const to = a.endpoints.length === 1 ? `Forwarded to ${a.endpoints[0]}`
    : a.endpoints.length ? `Forwarded to one of ${a.endpoints.length} instances` : 'Forwarded';
  if (a.failingPercent == null || !own) return [to, 'ok'];
  return [`${fix(100 - a.failingPercent, 0)} %: ${to.toLowerCase()}. ${fix(a.failingPercent, 0)} %: ${own}`, 'bad'];
}
function drawExplanation(e) {
  tell($('answer'), ...verdict(e));
  const list = (nodes, name = 'ul.rows') => nodes.length ? [h(name, ...nodes)] : [];
  $('steps').replaceChildren(...e.steps.map(step => {
    const summary = h('bdi', step.summary), more = list(step.details.map(line => h('li.wrap', line)), 'ul.lines');
    if (step.isAnswer) summary.dataset.tone = 'bad';
    if (step.handler === 'router') more.push(...list(e.rules.map(ruleLine)));
    if (step.handler === 'loadbalance')
      more.push(...list(e.shares.length > 1 ? e.shares.map(shareLine) : []), ...list(e.candidates.map(candidateLine)));
    return h('li', h('code.muted', step.handler), h('p.wrap', summary), ...more);
  }));
}
function ruleLine(rule) {
  const words = rule.isMatch == null ? 'not tried' : rule.isMatch ? 'matches' : 'does not match';
  const state_ = h(rule.isMatch ? 'b' : 'span'), place = h('code', rule.location.split('/').pop());
  tell(state_, words, rule.isMatch ? 'ok' : 'idle');
  place.title = rule.location;
  const why = [rule.isMatch == null ? '' : rule.reason, `precedence ${rule.precedence}`].filter(Boolean).join(' · ');
  return h('li', h('div.count', place, state_), h('small.muted', h('bdi', why)));
}
function shareLine(share) {
  const bar = h('i'), count = h('span');
  bar.style.width = Math.min(100, share.percent) + '%';
  tell(count, plural(share.endpoints.length, 'instance'), share.endpoints.length ? null : 'bad');
  return h('li', h('div.count', h('span', h('b', `${fix(share.percent, 0)} % `), 'to ', h('bdi', share.tags)), count),
    h('span.track.set', bar));
}
function candidateLine(c) {
  const state_ = h('b');
  tell(state_, c.remains ? 'may get it' : 'passed over', c.remains ? 'ok' : 'warn');
  const why = [c.version && `version ${c.version}`, c.reason,
    c.leftOutSeconds == null ? '' : `ejected for ${inSeconds(c.leftOutSeconds)} more`].filter(Boolean).join(' · ');
  return h('li', h('div.count', h('code', c.endpoint || 'no endpoint'), state_), h('small.muted', h('bdi', why)));
}
