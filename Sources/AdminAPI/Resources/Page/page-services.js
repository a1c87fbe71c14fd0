// SPDX-License-Identifier: Apache-2.0
// ---- Table of services

const rank = { open: 3, 'half-open': 2, closed: 1 };
// Id, heading, value to sort by, text and tone to show, whether a narrow screen goes without.
const COLUMNS = [
  ['name', 'Service'],
  ['rate', 'Req/s', s => s.requestRate, s => [rate(s.requestRate)]],
  ['share', 'Errors', errorShare, s => [percent(errorShare(s)), trouble(flowTone(s))]],
  ...['p50', 'p90', 'p99'].map(p => [p, p, s => s[p], s => [latency(s[p])], p !== 'p99']),
  ['breaker', 'Circuit', s => rank[breakerState(s.breaker)] || 0, s => breakerWords(s.breaker)],
  ['instances', 'Instances', s => s.instances.length, s => {
    const n = s.instances.length, up = able(s);
    return n && up === n ? [whole(n)] : [`${up} of ${n}`, 'warn'];
  }, true],
  ['requests', 'Requests', s => s.requests, s => [whole(s.requests)], true],
  ['failures', 'Failed', s => s.failures, s => [whole(s.failures)], true]];
let order = new Map(), ordered = 0;
for (const [id, label, , , extra] of COLUMNS) {
  const button = h('button', label), th = h(extra ? 'th.c-extra' : 'th', button);
  th.scope = 'col';
  button.onclick = () => {
    const { by, dir } = state.sort;
    state.sort = { by: id, dir: by === id ? -dir : id === 'name' ? 1 : -1, isChosen: true };
    ordered = 0;
    if (state.doc) drawTable(state.doc);
  };
  th.id = 'by-' + id;
  $('columns').append(th);
}
$('filter').oninput = () => { if (state.doc) drawTable(state.doc); };

function drawTable(d) {
  const { by, dir } = state.sort, value = COLUMNS.find(c => c[0] === by)[2];
  for (const [id] of COLUMNS) attr($('by-' + id), 'aria-sort', id !== by ? null : dir > 0 ? 'ascending' : 'descending');
  // Rows do not move under the pointer, nor while the focus is among them.
  const rows = $('service-rows'), busy = rows.matches(':hover') || rows.contains(document.activeElement);
  if (!ordered || (!busy && Date.now() - ordered > 2500)) {
    const sorted = [...d.services].sort((a, b) => {
      // Until somebody wants it otherwise.
      if (!state.sort.isChosen && alarm(a) !== alarm(b)) return alarm(b) - alarm(a);
      if (by === 'name') return dir * byName(a, b);
      return dir * ((value(a) ?? -1) - (value(b) ?? -1)) || byName(a, b);
    });
    order = new Map(sorted.map((s, i) => [s.name, i]));
    ordered = Date.now();
  }
  const wanted = $('filter').value.trim().toLowerCase();
  const list = d.services.filter(s => s.name.toLowerCase().includes(wanted))
    .sort((a, b) => (order.get(a.name) ?? 1e9) - (order.get(b.name) ?? 1e9));
  keyed(rows, list, s => s.name, s => {
    const tr = h('tr'), button = h('button.plain', h('bdi'));
    for (const c of COLUMNS) tr.append(h(c[3] ? c[4] ? 'td.c-extra' : 'td' : 'th', c[3] ? h('span') : button));
    tr.cells[0].scope = 'row';
    tr.onclick = () => { if (getSelection().isCollapsed) choose('service', s.name, button); };
    return tr;
  }, (tr, s) => {
    const on = isChosen('service', s.name);
    cut(tr.cells[0].firstChild.firstChild, named(s.name));
    attr(tr.cells[0].firstChild, 'aria-current', on || null);
    tr.classList.toggle('on', on);
    COLUMNS.forEach(([, , , show], i) => { if (show) tell(tr.cells[i].firstChild, ...show(s)); });
  });
  text($('found'), wanted ? `${list.length} of ${d.services.length}` : whole(list.length));
}
