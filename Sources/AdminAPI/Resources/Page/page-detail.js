// SPDX-License-Identifier: Apache-2.0
// ---- Detail

function drawDetail(d) {
  const { kind, name, unknown } = state.sel;
  const list = { caller: d.callers, service: d.services }[kind];
  const isFlow = kind === 'self' || kind === 'caller' || kind === 'service';
  const isIncoming = kind === 'self' || (kind === 'caller' && name === UNNAMED && !d.callers.length);
  const t = !isFlow ? null : isIncoming ? d.incoming : list.find(x => x.name === name);
  text($('detail-title').firstChild,
    { self: 'This sidecar', explain: 'Explain a request', certificates: 'Certificates' }[kind] || named(name));
  text($('detail-note'), unknown ? `Nothing on this page is called ${unknown.slice(0, 80)}: this is the sidecar.`
    : { self: 'Incoming requests. Select a service to see its instances and rules.',
      explain: 'What this sidecar would do with an outgoing request. Nothing is sent.',
      certificates: 'Those that this sidecar shows to others.',
      caller: t ? 'Requests from this caller.' : 'No caller of this name is known here.',
      service: t ? 'Requests to this service.' : 'No service of this name has been called or looked up here.' }[kind]);
  $('close').hidden = kind === 'self';
  for (const each of ['self', 'explain', 'certificates']) $('for-' + each).hidden = kind !== each;
  $('for-service').hidden = kind !== 'service' || !t;
  $('stats').hidden = !isFlow;
  terms($('stats'), t ? traffic(t) : []);
  if (kind === 'self') drawSelf(d);
  else if (kind === 'certificates') drawCertificates(d);
  else if (kind === 'service' && t) drawService(t, d);
}

function drawSelf(d) {
  const wrong = [];
  const add = (what, words, tone, name, open = by => choose('service', name, by)) =>
    wrong.push({ what, words, tone, name, open });
  if (!d.self.ready && !d.self.draining) add('Sidecar', 'not ready: ' + d.self.missing.join(', '), 'bad');
  if (d.self.draining) add('Sidecar', 'draining: out of service', 'warn');
  if (loadTone(d.process)) add('Memory', 'overload is ' + d.process.overload, loadTone(d.process));
  if (d.registry && !d.registry.reachable) add('Registry', d.registry.error || 'unreachable', 'bad');
  if (d.controlPlane && !d.controlPlane.connected) add('Control plane', d.controlPlane.error || 'unreachable', 'bad');
  for (const r of d.controlPlane ? d.controlPlane.refused : []) add('Control plane', `refused ${r.kind} ${r.name}: ${r.reason}`, 'warn');
  for (const gap of d.controlPlane ? d.controlPlane.notDone : []) add('Control plane', 'not done: ' + gap, 'warn');
  for (const c of d.certificates || []) {
    const [words, tone] = certificateState(c, d.time);
    if (trouble(tone)) add('Certificate', `${certificateName(c)}: ${words}`, tone, c.tag, by => choose('certificates', '', by));
    if (c.error) add('Certificate', `${certificateName(c)}: not renewed`, 'warn', c.tag, by => choose('certificates', '', by));
  }
  for (const s of d.services) {
    const [words, tone] = health(s);
    if (tone !== 'bad' && flowTone(s) === 'bad') add(s.name, percent(errorShare(s)) + ' errors', 'bad', s.name);
    else if (tone) add(s.name, words, tone, s.name);
  }
  if (flowTone(d.incoming) === 'bad') add('Incoming', percent(errorShare(d.incoming)) + ' errors', 'bad');
  wrong.sort((a, b) => (b.tone === 'bad') - (a.tone === 'bad'));
  const most = 20, over = wrong.length - most;
  if (over > 0) wrong.splice(most, over + 1, { what: null, words: `${over} more, see the table`, tone: null });
  keyed($('attention'), wrong, w => w.what + '\n' + (w.name ?? ''), w => {
    const what = h(w.name == null ? 'span' : 'button.plain', h('bdi'));
    if (w.name != null) what.onclick = () => w.open(what);
    return h('li.count', what, h('span'));
  }, (li, w) => {
    cut(li.firstChild.firstChild, named(w.what));
    li.firstChild.hidden = w.what == null;
    tell(li.lastChild, w.words, w.tone);
  });
  terms($('listeners'), d.listeners.map(l => [`${l.direction}, ${l.protocol}`, l.address]));
  keyed($('callers'), d.callers, c => c.name, () => h('li.count', h('bdi'), h('span')), (li, c) => {
    cut(li.firstChild, named(c.name));
    tell(li.lastChild, spoken(c), trouble(flowTone(c)));
  });
}

const inSeconds = s => span(Math.ceil(s));
function breakerWords(b) {
  const s = breakerState(b);
  if (!s) return ['off', 'idle'];
  if (s === 'open') return ['open', 'bad'];
  return [s, s === 'closed' ? null : 'warn'];
}
function drawService(s, d) {
  const b = s.breaker;
  const [word, tone] = breakerWords(b);
  const rows = [['State', word, tone]];
  if (b) {
    if (word === 'open')
      rows.push(['Tries again', b.retryAfter > 0 ? 'in ' + inSeconds(b.retryAfter) : 'with the next request']);
    if (word !== 'off') rows.push(['Failed lately', whole(b.errorPercentage) + ' %']);
    rows.push(['In flight', b.limit == null ? whole(b.inFlight) : `${whole(b.inFlight)} of at most ${whole(b.limit)}`]);
  }
  terms($('breaker'), rows);

  const reasons = Object.entries(s.reasons || {}).sort((x, y) => y[1] - x[1]);
  const most = Math.max(1, ...reasons.map(r => r[1]));
  keyed($('reasons'), reasons, r => r[0], () =>
    h('li', h('div.count', h('bdi'), h('span')), h('span.track', h('i'))), (li, [reason, count]) => {
    const [what, many] = li.firstChild.children;
    text(what, reason);
    text(many, whole(count));
    style(li.lastChild.firstChild, 'width', count / most * 100 + '%');
  });

  const held = s.instances.filter(i => i.operator).length;
  text($('instances').caption,
    `${plural(s.instances.length, 'instance')}, ${ejected(s)} ejected${held ? `, ${held} held back by hand` : ''}`);
  keyed($('instances').tBodies[0], s.instances, i => i.id, () =>
    h('tr', ...['th', 'td', 'td', 'td'].map(tag => h(tag, h('bdi'), h('small'), h('small')))), (tr, i) => {
    // An id that is made of the endpoint says nothing more.
    const id = i.id.includes(addressIn(i.endpoint)) ? '' : i.id;
    [[i.endpoint, null, 'version ' + (i.version || none), id], [...instanceState(i), i.status],
      [whole(i.connections), null, `${whole(i.idle)} idle`], [whole(i.attempts), null, `${whole(i.failures)} failed`]]
      .forEach(([words, tone, ...more], at) => {
        const [first, ...rest] = tr.cells[at].children;
        tell(first, words ?? none, tone);
        rest.forEach((small, k) => text(small, more[k] ?? ''));
      });
    attr(tr.cells[0], 'scope', 'row');
    attr(tr.cells[0], 'title', i.id);
  });
  drawRoutes(s);
  drawOperations(s);
}
function instanceState(i) {
  const b = breakerState(i.breaker);
  if (i.operator) return [i.operator + ' by hand', 'warn'];
  if (i.ejected) return ['ejected' + (i.ejectedFor == null ? '' : ' for ' + inSeconds(i.ejectedFor)), 'bad'];
  if (b === 'open') return ['circuit open', 'bad'];
  if (b === 'half-open') return ['circuit half-open', 'warn'];
  return i.eligible ? ['eligible', 'ok'] : ['not eligible', 'warn'];
}
const tagText = tags => Object.entries(tags || {}).map(([k, v]) => `${k} ${v}`).join(', ') || 'any instance';
function drawRoutes(s) {
  const bar = (kind, label) => [h('span.muted', label), h('span.track' + kind, h('i')), h('b')];
  keyed($('routes'), s.routes, r => r.precedence + r.match, () =>
    h('li', h('p.wrap', h('bdi')), h('small.muted'), h('div')), (li, r) => {
    text(li.firstChild.firstChild, r.match || 'every request');
    text(li.children[1], `precedence ${r.precedence}`);
    const sum = Math.max(100, r.targets.reduce((n, t) => n + t.weight, 0));
    keyed(li.lastChild, r.targets, t => tagText(t.tags), () =>
      h('div.target', h('bdi'), ...bar('.set', 'configured'), ...bar('', 'live share')), (div, t) => {
      const [name, , set, weight, , live, share] = div.children;
      text(name, tagText(t.tags));
      style(set.firstChild, 'width', t.weight / sum * 100 + '%');
      text(weight, whole(t.weight) + ' %');
      style(live.firstChild, 'width', (t.share || 0) * 100 + '%');
      text(share, t.share == null ? 'idle' : percent(t.share));
    });
  });
}
