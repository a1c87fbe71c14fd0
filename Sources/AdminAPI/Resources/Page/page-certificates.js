// SPDX-License-Identifier: Apache-2.0
// ---- Certificates

// Days before the end of a certificate. One that is renewed at half of its life has missed that when less than these parts
// of it are left.
const SOON = 7, LATER = 30, SOON_PART = 0.2, LATER_PART = 0.4;
function certificateState(c, now) {
  if (c.notAfter == null) return ['none in use', 'bad'];
  const left = (c.notAfter - now) / 86400, life = (c.notAfter - c.notBefore) / 86400;
  if (left < 0) return ['expired', 'bad'];
  const [soon, later] = c.renews && life > 0 ? [life * SOON_PART, life * LATER_PART] : [SOON, LATER];
  return [left < 2 ? span(left * 86400) + ' left' : `${whole(Math.floor(left))} days left`,
    left < soon ? 'bad' : left < later ? 'warn' : 'ok'];
}
const certificateName = c => c.subject || c.names[0] || c.tag;
function drawCertificates(d) {
  keyed($('certificates'), d.certificates || [], c => c.tag + c.role, () =>
    h('li', h('div.count', h('strong', h('bdi')), h('span')), h('dl.pairs'), h('p.wrap')), (li, c) => {
    const [head, list, wrong] = li.children;
    cut(head.firstChild.firstChild, certificateName(c));
    tell(head.lastChild, ...certificateState(c, d.time));
    terms(list, [['For', c.role], ['From', c.source], ['Names', c.names.join(', ') || none],
      ['Valid until', c.notAfter == null ? none : new Date(c.notAfter * 1000).toISOString().slice(0, 16).replace('T', ' ') + ' UTC'],
      ['Tag', c.tag], ...c.renews ? [['Renewed', 'at half of its life']] : []]);
    tell(wrong, c.error ? 'The newest files are of no use: ' + c.error : '', c.error ? 'warn' : null);
    wrong.hidden = !c.error;
  });
}
