/** How a pair connected, read from its statistics (W3C webrtc-stats). */

export type Path = 'direct' | 'relay';

type Report = Record<string, unknown>;

/** The path of the selected candidate pair; undefined while there is none. */
export async function connectionPath(connection: Pick<RTCPeerConnection, 'getStats'>): Promise<Path | undefined> {
  const reports = new Map<string, Report>();
  (await connection.getStats()).forEach((report: Report, id: string) => reports.set(id, report));
  const all = [...reports.values()];
  const transport = all.find((r) => r.type === 'transport' && r.selectedCandidatePairId);
  const pair =
    reports.get(String(transport?.selectedCandidatePairId)) ??
    all.find((r) => r.type === 'candidate-pair' && r.selected === true) ??
    all.find((r) => r.type === 'candidate-pair' && r.nominated === true && r.state === 'succeeded');
  if (!pair) return undefined;
  const ends = [pair.localCandidateId, pair.remoteCandidateId].map((id) => reports.get(String(id)));
  return ends.some((end) => end?.candidateType === 'relay') ? 'relay' : 'direct';
}
